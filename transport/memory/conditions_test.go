package memory_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// net2 is a network of transports, each with a listener.
type net2 struct {
	*testing.T
	*memory.Network
	hosts     []*memory.Transport
	listeners []transport.Listener
}

func build(t *testing.T, hosts int, cfg memory.Config) *net2 {
	t.Helper()
	n := &net2{T: t, Network: memory.NewNetwork(cfg)}
	for i := range hosts {
		host := n.NewTransport(memory.HostConfig{IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})})
		l, err := host.Listen(t.Context(), transporttest.Address(t, "/ip4/0.0.0.0/tcp/26656"), nil)
		if err != nil {
			t.Fatal(err)
		}
		n.hosts, n.listeners = append(n.hosts, host), append(n.listeners, l)
	}
	return n
}

func (n *net2) dial(ctx context.Context, from, to int) (*memory.Conn, error) {
	c, err := n.hosts[from].Dial(ctx, transporttest.Address(n.T, "/ip4/"+n.hosts[to].IP().String()+"/tcp/26656"))
	if err != nil {
		return nil, err
	}
	return c.(*memory.Conn), nil
}

func (n *net2) connect(from, to int) (*memory.Conn, *memory.Conn) {
	n.Helper()
	dialed, err := n.dial(n.Context(), from, to)
	if err != nil {
		n.Fatal(err)
	}
	accepted, _, err := n.listeners[to].Accept(n.Context())
	if err != nil {
		n.Fatal(err)
	}
	return dialed, accepted.(*memory.Conn)
}

// close closes everything, and checks that the network has forgotten it.
func (n *net2) close(conns ...*memory.Conn) {
	n.Helper()
	for _, c := range conns {
		c.Close()
	}
	for _, l := range n.listeners {
		l.Close()
	}
	if open := n.Connections(); open != 0 {
		n.Errorf("%d connections are left", open)
	}
}

func (n *net2) wantRead(c *memory.Conn, want string, took time.Duration) {
	n.Helper()
	begun := time.Now()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		n.Fatalf("read %q, %v; want %q", got, err, want)
	}
	if t := time.Since(begun); t != took {
		n.Errorf("reading %q took %v, want %v", want, t, took)
	}
}

// wantSilence checks that nothing arrives for a day.
func (n *net2) wantSilence(c *memory.Conn) {
	n.Helper()
	c.SetReadDeadline(time.Now().Add(24 * time.Hour))
	if k, err := c.Read(make([]byte, 1)); k != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		n.Fatalf("read %d bytes, %v; want none", k, err)
	}
	c.SetReadDeadline(time.Time{})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 2, memory.Config{Conditions: memory.Conditions{Latency: 50 * time.Millisecond}})
		begun := time.Now()
		a, b := n.connect(0, 1)
		if took := time.Since(begun); took != 100*time.Millisecond {
			t.Errorf("the dial took %v, want a round trip", took)
		}
		a.Write([]byte("one"))
		time.Sleep(20 * time.Millisecond)
		a.Write([]byte("two"))
		n.wantRead(b, "one", 30*time.Millisecond)
		n.wantRead(b, "two", 20*time.Millisecond)
		n.SetPair(n.hosts[0], n.hosts[1], memory.Conditions{Latency: time.Second})
		b.Write([]byte("slow"))
		n.SetPath(n.hosts[1], n.hosts[0], memory.Conditions{})
		b.Write([]byte("fast")) // but in order
		n.wantRead(a, "slow", time.Second)
		n.wantRead(a, "fast", 0)
		a.Write([]byte("slow"))
		n.wantRead(b, "slow", time.Second)
		n.ClearPair(n.hosts[0], n.hosts[1])
		n.SetConditions(memory.Conditions{})
		a.Write([]byte("fast"))
		n.wantRead(b, "fast", 0)

		n.SetConditions(memory.Conditions{Latency: time.Second})
		a.Write([]byte("end"))
		a.Close()
		n.wantRead(b, "end", time.Second)
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v", err)
		}
		b.Write([]byte("nobody reads this")) // the news of Close may be under way
		time.Sleep(2 * time.Second)
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write %v", err)
		}
		n.close(a, b)
	})
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 2, memory.Config{Conditions: memory.Conditions{Bandwidth: 1 << 20,
			Latency: 10 * time.Millisecond}})
		a, b := n.connect(0, 1)
		begun := time.Now()
		go func() {
			a.Write(make([]byte, 4<<20))
			a.CloseWrite()
		}()
		got, err := io.ReadAll(b)
		if len(got) != 4<<20 || err != nil {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(begun); took < 4*time.Second || took > 4100*time.Millisecond {
			t.Errorf("4 MiB at 1 MiB/s took %v", took)
		}
		n.close(a, b)
	})
}

// arrivals sends packets, one a millisecond, and returns when each is read.
func arrivals(t *testing.T, seed uint64, c memory.Conditions) []time.Duration {
	n := build(t, 2, memory.Config{Seed: seed, Conditions: c})
	a, b := n.connect(0, 1)
	begun := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			a.Write([]byte{byte(i)})
			time.Sleep(time.Millisecond)
		}
	})
	var at []time.Duration
	for i := range 200 {
		n.wantByte(b, byte(i))
		at = append(at, time.Since(begun))
	}
	wg.Wait()
	n.close(a, b)
	return at
}

func (n *net2) wantByte(c *memory.Conn, want byte) {
	n.Helper()
	var got [1]byte
	if _, err := c.Read(got[:]); err != nil || got[0] != want {
		n.Fatalf("read %d, %v; want %d", got[0], err, want)
	}
}

// TestChance: jitter and loss delay, keep the order, and are the same for the same seed.
func TestChance(t *testing.T) {
	for name, c := range map[string]memory.Conditions{
		"jitter": {Latency: 10 * time.Millisecond, Jitter: 20 * time.Millisecond},
		"loss":   {Latency: 10 * time.Millisecond, Loss: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			runs := make([][]time.Duration, 3)
			for i, seed := range []uint64{7, 7, 8} {
				synctest.Test(t, func(t *testing.T) { runs[i] = arrivals(t, seed, c) })
			}
			if !slices.Equal(runs[0], runs[1]) {
				t.Error("the same seed, another course")
			}
			if slices.Equal(runs[0], runs[2]) {
				t.Error("another seed, the same course")
			}
			late := 0
			for i, at := range runs[0] {
				delay := at - time.Duration(i)*time.Millisecond
				if delay < c.Latency {
					t.Errorf("byte %d took %v, less than the latency", i, delay)
				}
				if delay > c.Latency {
					late++
				}
				if c.Loss == 0 && delay > c.Latency+c.Jitter {
					t.Errorf("byte %d took %v", i, delay)
				}
			}
			if late < 20 {
				t.Errorf("%d of 200 packets were late", late)
			}
		})
	}
}

// TestStall: a pulled cable. No end is notified; after Heal everything goes on, the end of a stream too.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 3, memory.Config{Conditions: memory.Conditions{Latency: 10 * time.Millisecond}})
		a, b := n.connect(0, 1)
		c, d := n.connect(1, 2)
		e, f := n.connect(0, 1)
		a.Write([]byte("arrived "))
		time.Sleep(10 * time.Millisecond)
		a.Write([]byte("under way "))
		n.Cut(memory.Stall, n.hosts[:1])
		a.Write([]byte("after"))
		e.Write([]byte("end"))
		e.Close()
		n.wantRead(b, "arrived ", 0)
		n.wantSilence(b)
		n.wantSilence(f)
		if _, err := f.Write([]byte("x")); err != nil { // it does not know yet that e has closed
			t.Errorf("write: %v", err)
		}
		c.Write([]byte("hello")) // the same side of the cut
		n.wantRead(d, "hello", 10*time.Millisecond)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		if _, err := n.dial(ctx, 1, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial over the cut: %v", err)
		}
		cancel()
		var dialed *memory.Conn
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			if dialed, err = n.dial(t.Context(), 0, 2); err != nil {
				t.Errorf("dial that waits for Heal: %v", err)
			}
		})
		synctest.Wait()
		n.Heal()
		n.wantRead(b, "under way after", 10*time.Millisecond)
		n.wantRead(f, "end", 0)
		if _, err := f.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v", err)
		}
		wg.Wait()
		accepted, _, err := n.listeners[2].Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.close(a, b, c, d, e, f, dialed, accepted.(*memory.Conn))
	})
}

func TestStallFillsBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 2, memory.Config{Buffer: 1000})
		a, b := n.connect(0, 1)
		n.SetPair(n.hosts[0], n.hosts[1], memory.Conditions{Down: true})
		a.SetWriteDeadline(time.Now().Add(time.Hour))
		k, err := a.Write(bytes.Repeat([]byte("x"), 3000))
		if k != 1000 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v", k, err)
		}
		n.ClearPair(n.hosts[0], n.hosts[1])
		n.wantRead(b, strings.Repeat("x", 1000), 0)
		n.close(a, b)
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 4, memory.Config{})
		a, b := n.connect(0, 1)
		c, d := n.connect(0, 2)
		done := make(chan error)
		go func() {
			_, err := b.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		n.Cut(memory.Reset, n.hosts[:1], n.hosts[1:2]) // 2 and 3 are the third group
		if err := <-done; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		for _, conn := range []*memory.Conn{a, b, c, d} {
			if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
		for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 2}, {3, 0}} {
			if _, err := n.dial(t.Context(), pair[0], pair[1]); !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("dial over the cut: %v", err)
			}
		}
		e, f := n.connect(2, 3)
		n.Heal()
		g, h := n.connect(0, 1)
		n.ResetBetween(n.hosts[1], n.hosts[0])
		if _, err := g.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := e.Write([]byte("x")); err != nil {
			t.Errorf("write: %v", err)
		}
		n.close(a, b, c, d, e, f, g, h)
	})
}

// TestManyCuts changes the network at random times under load: no byte is lost, mixed up or doubled.
func TestManyCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 2, memory.Config{Seed: 3, Buffer: 5000})
		a, b := n.connect(0, 1)
		sent := make([]byte, 300_000)
		for i := range sent {
			sent[i] = byte(i * i >> 8)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for rest := sent; len(rest) > 0; {
				k, err := a.Write(rest[:min(len(rest), 1+len(rest)%1777)])
				if err != nil {
					t.Error(err)
					return
				}
				rest = rest[k:]
				time.Sleep(time.Millisecond)
			}
			a.CloseWrite()
		})
		stop := make(chan struct{})
		wg.Go(func() {
			conditions := []memory.Conditions{{}, {Latency: 3 * time.Millisecond}, {Jitter: 9 * time.Millisecond},
				{Loss: 0.2}, {Bandwidth: 500_000}, {Down: true}}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(7 * time.Millisecond):
				}
				switch i % 5 {
				case 0:
					n.Cut(memory.Stall, n.hosts[:1])
				case 1:
					n.Heal()
				default:
					n.SetConditions(conditions[i%len(conditions)])
				}
			}
		})
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes of %d, %v", len(got), len(sent), err)
		}
		close(stop)
		wg.Wait()
		n.close(a, b)
	})
}

// TestOutsideBubble: a network may be older than the bubble that uses it, and outlive it.
func TestOutsideBubble(t *testing.T) {
	network := memory.NewNetwork(memory.Config{Conditions: memory.Conditions{Latency: time.Second}})
	a, b := network.NewTransport(memory.HostConfig{}), network.NewTransport(memory.HostConfig{})
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			l, err := b.Listen(t.Context(), transporttest.Address(t, "/memory/0"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			network.Cut(memory.Stall, []*memory.Transport{a})
			go func() {
				time.Sleep(time.Hour)
				network.Heal()
			}()
			begun := time.Now()
			c, err := a.Dial(t.Context(), l.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != time.Hour+2*time.Second {
				t.Errorf("the dial took %v", took)
			}
			c.Close()
		})
	}
}
