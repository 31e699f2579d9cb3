package quic

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	lib "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// heap returns how much memory is in use. It collects until nothing more goes: earlier tests leave garbage in pools.
func heap() int {
	var m runtime.MemStats
	for held := math.MaxInt; ; held = int(m.HeapAlloc) {
		runtime.GC()
		runtime.ReadMemStats(&m)
		if int(m.HeapAlloc) >= held {
			return held
		}
	}
}

// holes is a socket in memory that loses every other datagram while it is leaky.
type holes struct {
	*simnet.SimConn
	leaky atomic.Bool
	sent  atomic.Int64
}

func (c *holes) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.leaky.Load() && c.sent.Add(1)%2 == 0 {
		return len(p), nil
	}
	return c.SimConn.WriteTo(p, to)
}

// distance is a network on which each datagram takes 10 ms.
type distance struct{ simnet.PerfectRouter }

func (d *distance) SendPacket(p simnet.Packet) error {
	time.AfterFunc(10*time.Millisecond, func() { _ = d.PerfectRouter.SendPacket(p) })
	return nil
}

// victim is a listener in memory, and the dialers that attack it.
type victim struct {
	t       *testing.T
	router  distance
	self    *Transport
	l       *listener
	sockets []*holes
}

func newVictim(t *testing.T, cfg Config) *victim {
	v := &victim{t: t, self: newTransport(t, cfg, listenerKey)}
	l, err := v.self.listen(v.socket(v.self), nil)
	if err != nil {
		t.Fatal(err)
	}
	v.l = l
	t.Cleanup(func() { l.Close() })
	return v
}

// socket gives a transport a socket.
func (v *victim) socket(tr *Transport) *socket {
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(len(v.sockets) + 1)}), 1000)
	c := &holes{SimConn: simnet.NewSimConn(net.UDPAddrFromAddrPort(at), &v.router)}
	v.sockets = append(v.sockets, c)
	s := tr.newSocket(c, at)
	s.holders = 2
	tr.sockets[s] = struct{}{}
	v.t.Cleanup(s.release)
	return s
}

// dial makes a connection: the attacker's end, the victim's, and the attacker's socket.
func (v *victim) dial() (near, far *Conn, wire *holes, err error) {
	from := newTransport(v.t, Config{}, dialerKey)
	s := v.socket(from)
	c, err := from.Dial(v.t.Context(), v.l.Addr())
	s.release()
	if err != nil {
		return nil, nil, nil, err
	}
	b, _, err := v.l.Accept(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	near, far = connOf(c), connOf(b)
	v.t.Cleanup(func() { near.Close(); far.Close() })
	return near, far, v.sockets[len(v.sockets)-1], nil
}

// flood fills a window with new streams, in pieces of so many bytes, a packet each.
func flood(t *testing.T, c *Conn, window, size int) {
	t.Helper()
	piece := make([]byte, size)
	for range window/DefaultStreamWindow + 1 {
		st, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Reset(muxer.CodeUnknown) })
		for err == nil {
			st.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = st.Write(piece)
			time.Sleep(20 * time.Microsecond) // virtual: it is sent
		}
	}
}

// A remote whose link is not up, and who fills its window with frames of any size, in order or with gaps, makes us hold
// no more than what it was charged at first. For frames of one byte that is not far from what it really is.
func TestUnreadHeap(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		for _, size := range []int{1, 7, 127, 128, 1000, 64 << 10} {
			t.Run(fmt.Sprintf("%d bytes, lossy %v", size, lossy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := newVictim(t, Config{})
					near, far, wire, err := v.dial()
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
					before := heap()
					wire.leaky.Store(lossy)
					window := int(v.self.conf.InitialConnectionReceiveWindow)
					flood(t, near, window, size)
					held := heap() - before
					if held > int(v.self.budget.first) {
						t.Errorf("%d bytes unread hold %d, of which %d are charged", window, held, v.self.budget.first)
					}
					if size == 1 && !lossy && held < window*windowCost/2 {
						t.Errorf("%d bytes unread hold only %d", window, held)
					}
					runtime.KeepAlive(far)
				})
			})
		}
	}
}

// The windows of links that are up grow as far as all of them fit the budget at worst. So many remotes with frames of
// one byte hold no more than that, and a connection for which there is no room is refused. What a connection had is
// free when it has ended.
func TestUnreadHeapOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const links = 3
		cfg := Config{MaxUnread: 16 << 20, MaxWindow: 80 << 10, MaxStreams: 32}
		v := newVictim(t, cfg)
		first := int(v.self.budget.first)
		before := heap()
		var attackers, ours []*Conn
		for range links {
			near, far, _, err := v.dial()
			if err != nil {
				t.Fatal(err)
			}
			attackers, ours = append(attackers, near), append(ours, far)
		}
		for i, near := range attackers {
			far := ours[i]
			far.Up()
			out, err := near.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			go out.Write(make([]byte, 1<<20)) // which is read, so that the window grows
			in, err := far.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for n, buf := 0, make([]byte, 1<<10); n < 1<<20; {
				got, err := in.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				n += got
			}
		}
		v.self.budget.mu.Lock()
		grown := int(v.self.budget.sum) - links*first
		v.self.budget.mu.Unlock()
		if grown < (cfg.MaxUnread-links*first)/2 {
			t.Errorf("the windows have grown by %d bytes", grown/windowCost)
		}
		for _, near := range attackers {
			flood(t, near, grown/windowCost+windowMultiplier*DefaultStreamWindow, 1)
		}
		if held := heap() - before; held > cfg.MaxUnread || held < grown/2 {
			t.Errorf("windows of %d bytes hold %d, of a budget of %d", grown/windowCost, held, cfg.MaxUnread)
		}

		for range cfg.MaxUnread/first + 1 {
			if _, _, _, err := v.dial(); err != nil {
				attackers[0].Close()
				time.Sleep(time.Second)
				if _, _, _, err := v.dial(); err != nil {
					t.Errorf("after the end of another: %v", err)
				}
				return
			}
		}
		t.Error("no connection is refused")
	})
}

// Windows grow as long as all of them together fit; what a connection had is free when it is gone.
func TestBudget(t *testing.T) {
	b := newBudget(Config{MaxUnread: 2*handshakeCost + 100*windowCost}.withDefaults())
	b.first = handshakeCost
	x, y := new(lib.Conn), new(lib.Conn)
	for range 2 {
		if err := b.take(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.take(); !errors.Is(err, errMemory) {
		t.Fatalf("two connections fit, and no third: %v", err)
	}
	b.add() // the handshake of x is complete
	b.give(nil)
	if b.allow(x, 1) {
		t.Error("a window grows before the link is up")
	}
	b.up(x)
	b.up(y)
	for i, c := range []struct {
		conn *lib.Conn
		n    uint64
		ok   bool
	}{{x, 60, true}, {y, 41, false}, {y, 40, true}, {x, 1, false}, {new(lib.Conn), 1, false}} {
		if ok := b.allow(c.conn, c.n); ok != c.ok {
			t.Errorf("%d: %v", i, ok)
		}
	}
	b.give(x)
	if err := b.take(); err != nil {
		t.Errorf("a connection behind another: %v", err)
	}
	b.give(nil)
	b.give(y)
	if b.sum != 0 || len(b.of) != 0 {
		t.Errorf("%d are left", b.sum)
	}
}
