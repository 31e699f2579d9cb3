package memory_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
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

func TestIdentity(t *testing.T) {
	n := build(t, 2, memory.Config{})
	a, b := n.connect(0, 1)
	if got := b.RemoteIP(); got != n.hosts[0].IP() {
		t.Errorf("the remote IP is %s", got)
	}
	if got := a.RemoteMultiaddr().String(); got != "/ip4/10.0.0.2/tcp/26656" {
		t.Errorf("the remote is %s", got)
	}
	if got := b.RemoteMultiaddr().String(); !strings.HasPrefix(got, "/ip4/10.0.0.1/tcp/") {
		t.Errorf("the remote is %s", got)
	}
	if tcp, ok := b.RemoteAddr().(*net.TCPAddr); !ok || tcp.IP.String() != "10.0.0.1" {
		t.Errorf("the remote is %v", b.RemoteAddr())
	}
	if got := n.listeners[1].Addr().String(); got != "/ip4/0.0.0.0/tcp/26656" {
		t.Errorf("listening on %s", got)
	}
	n.close(a, b)
}

func TestRefusals(t *testing.T) {
	n := build(t, 2, memory.Config{})
	plain := n.NewTransport(memory.HostConfig{})
	for _, test := range []struct {
		from *memory.Transport
		addr string
		want error
	}{
		{n.hosts[0], "/ip4/10.0.0.9/tcp/26656", syscall.EHOSTUNREACH},
		{n.hosts[0], "/ip4/10.0.0.2/tcp/26657", syscall.ECONNREFUSED},
		{n.hosts[0], "/memory/9", syscall.ECONNREFUSED},
		{plain, "/memory/9", syscall.ECONNREFUSED},
		{plain, "/ip4/10.0.0.2/tcp/26656", transport.ErrNoTransport},
		{plain, "/ip4/10.0.0.2/udp/26656", transport.ErrNoTransport},
	} {
		_, err := test.from.Dial(t.Context(), transporttest.Address(t, test.addr))
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "dial "+test.addr+": ") {
			t.Errorf("Dial(%s): %v; want %v", test.addr, err, test.want)
		}
	}
	for _, test := range []struct {
		at   *memory.Transport
		addr string
		want error
	}{
		{n.hosts[0], "/ip4/10.0.0.1/tcp/26656", syscall.EADDRINUSE},
		{n.hosts[0], "/ip4/10.0.0.2/tcp/1", syscall.EADDRNOTAVAIL},
		{n.hosts[0], "/ip6/::/tcp/1", syscall.EADDRNOTAVAIL},
		{plain, "/ip4/0.0.0.0/tcp/1", transport.ErrNoTransport},
	} {
		_, err := test.at.Listen(t.Context(), transporttest.Address(t, test.addr), nil)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "listen on "+test.addr+": ") {
			t.Errorf("Listen(%s): %v; want %v", test.addr, err, test.want)
		}
	}
	n.close()
}

func TestNames(t *testing.T) {
	n := build(t, 2, memory.Config{})
	n.AddName("two.example", netip.MustParseAddr("10.0.0.9"), n.hosts[1].IP())
	c, err := n.hosts[0].Dial(t.Context(), transporttest.Address(t, "/dns4/two.example/tcp/26656"))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"/dns/three.example/tcp/1", "/dns6/two.example/tcp/26656"} {
		if _, err := n.hosts[0].Dial(t.Context(), transporttest.Address(t, addr)); err == nil ||
			!strings.Contains(err.Error(), "no address") {
			t.Errorf("Dial(%s): %v", addr, err)
		}
	}
	c.Close()
	n.close()
}

// TestBacklog: dials wait while it is full; connections that were not accepted are reset when the listener closes.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, 2, memory.Config{Backlog: 2})
		first, err := n.dial(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		second, err := n.dial(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := n.dial(ctx, 0, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial with a full backlog: %v", err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := n.dial(t.Context(), 0, 1); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial while the listener closes: %v", err)
			}
		})
		synctest.Wait()
		n.listeners[1].Close()
		wg.Wait()
		for _, c := range []*memory.Conn{first, second} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
		}
		n.close(first, second)
	})
}

// TestSelf: a transport reaches itself, whatever the network is like.
func TestSelf(t *testing.T) {
	n := build(t, 1, memory.Config{Conditions: memory.Conditions{Latency: time.Hour}})
	n.Cut(memory.Reset, n.hosts)
	a, b := n.connect(0, 0)
	a.Write([]byte("x"))
	n.wantByte(b, 'x')
	n.close(a, b)
}

func TestDuplicateIP(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two transports with one IP")
		}
	}()
	n := build(t, 1, memory.Config{})
	defer n.close()
	n.NewTransport(memory.HostConfig{IP: n.hosts[0].IP()})
}

func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memory.Pipe(memory.Conditions{Latency: time.Second})
		begun := time.Now()
		a.Write([]byte("x"))
		b.Read(make([]byte, 1))
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v", took)
		}
		if !a.RemoteMultiaddr().Equal(b.LocalMultiaddr()) || a.RemoteAddr().String() != "/memory/1" {
			t.Errorf("%s, %s, %s", a.RemoteMultiaddr(), b.LocalMultiaddr(), a.RemoteAddr())
		}
		a.Close()
		b.Close()
	})
}

func BenchmarkSetup(b *testing.B) {
	n := memory.NewNetwork(memory.Config{})
	dialer := n.NewTransport(memory.HostConfig{})
	l, err := n.NewTransport(memory.HostConfig{}).Listen(b.Context(), transporttest.Address(b, "/memory/0"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		c, err := dialer.Dial(b.Context(), l.Addr())
		if err != nil {
			b.Fatal(err)
		}
		d, _, err := l.Accept(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		d.Close()
	}
}

func BenchmarkThroughput(b *testing.B) {
	for _, bench := range []struct {
		name string
		size int
		memory.Conditions
	}{
		{name: "64KiB", size: 64 << 10},
		{name: "1KiB", size: 1 << 10},
		{name: "64KiB-1ms", size: 64 << 10, Conditions: memory.Conditions{Latency: time.Millisecond}},
		{name: "64KiB-1ms-loss", size: 64 << 10, Conditions: memory.Conditions{Latency: time.Millisecond, Loss: 1e-9}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			x, y := memory.Pipe(bench.Conditions)
			var wg sync.WaitGroup
			wg.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					if _, err := y.Read(buf); err != nil {
						return
					}
				}
			})
			b.SetBytes(int64(bench.size))
			b.ReportAllocs()
			buf := make([]byte, bench.size)
			for b.Loop() {
				if _, err := x.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			x.Close()
			wg.Wait()
			y.Close()
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	x, y := memory.Pipe(memory.Conditions{})
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 100)
		for {
			if _, err := io.ReadFull(y, buf); err != nil {
				return
			}
			y.Write(buf)
		}
	})
	b.ReportAllocs()
	buf := make([]byte, 100)
	for b.Loop() {
		x.Write(buf)
		io.ReadFull(x, buf)
	}
	x.Close()
	wg.Wait()
	y.Close()
}
