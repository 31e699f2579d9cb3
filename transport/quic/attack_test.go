package quic

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// internet is a network in memory with a listener on it.
type internet struct {
	t      *testing.T
	router simnet.PerfectRouter
	l      *listener
	tls    *countingTLS

	mu     sync.Mutex
	asked  []bool // of each connection that admit was asked about: may its address be forged?
	closes bool   // admit closes the connection, and admits it
	refuse error  // what admit answers
	held   int    // tickets that it has given and not got back
}

// countingTLS counts the certificates that the listener has shown: each is a signature, and a key exchange.
type countingTLS struct {
	TLS
	shown atomic.Int32
}

func (c *countingTLS) ServerConfig(id handshake.Identity) *cryptotls.Config {
	conf := c.TLS.ServerConfig(id).Clone()
	next := conf.GetCertificate
	conf.GetCertificate = func(h *cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
		c.shown.Add(1)
		return next(h)
	}
	return conf
}

type ticket struct {
	n    *internet
	once sync.Once
}

func (p *ticket) Release() {
	released := false
	p.once.Do(func() { released = true })
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if !released {
		p.n.t.Error("a ticket was released twice")
	}
	p.n.held--
}

func (n *internet) admit(raw transport.Conn) (transport.Ticket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, raw.(*attempt).doubt)
	if n.refuse != nil {
		return nil, n.refuse
	}
	if n.closes {
		raw.Close() // as the budgets do with the oldest of a full house
	}
	n.held++
	return &ticket{n: n}, nil
}

// onInternet runs f with a listener at 10.0.0.1, in virtual time.
func onInternet(t *testing.T, cfg Config, f func(t *testing.T, n *internet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{t: t, tls: &countingTLS{TLS: tls.New(tls.Config{})}}
		tr, err := New(cfg, Env{Identity: listenerKey, TLS: n.tls, RemoteKey: tls.RemoteKey,
			Resolver: transporttest.Names{}})
		if err != nil {
			t.Fatal(err)
		}
		if n.l, err = tr.listen(n.socket(tr, netip.MustParseAddr("10.0.0.1")), n.admit); err != nil {
			t.Fatal(err)
		}
		f(t, n)
		n.l.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.held != 0 || n.l.doubt.inFlight != 0 || n.l.doubt.unverified != 0 {
			t.Errorf("at the end %d tickets are held, %d handshakes count as in flight, %d of them from addresses in "+
				"doubt", n.held, n.l.doubt.inFlight, n.l.doubt.unverified)
		}
	})
}

func (n *internet) socket(tr *Transport, ip netip.Addr) *socket {
	at := netip.AddrPortFrom(ip, 1000)
	s := tr.newSocket(slow{simnet.NewBlockingSimConn(net.UDPAddrFromAddrPort(at), &n.router), make(chan struct{})}, at)
	s.holders = 1
	tr.sockets[s] = struct{}{}
	return s
}

// dial connects from an IP, and hangs up. accepted says whether the listener has accepted it.
func (n *internet) dial(ip string) error {
	tr := newTransport(n.t, Config{}, dialerKey)
	from := n.socket(tr, netip.MustParseAddr(ip))
	defer from.release()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := tr.Dial(ctx, n.l.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	far, ticket, err := n.l.Accept(ctx)
	if err != nil {
		return err
	}
	ticket.Release()
	return far.Close()
}

// forge sends the first packet of a handshake in the name of an IP, which knows nothing of it.
func (n *internet) forge(ip netip.Addr) {
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 1000))
	tr := &lib.Transport{Conn: &oneWay{SimConn: simnet.NewSimConn(at, &n.router)}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := tr.Dial(ctx, mustUDP(n.l.Addr()),
		&cryptotls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPN}}, &lib.Config{}); err == nil {
		n.t.Error("a handshake without answers succeeded")
	}
	tr.Close()
	tr.Conn.Close()
}

// oneWay sends one datagram and hears nothing.
type oneWay struct {
	*simnet.SimConn
	sent atomic.Bool
}

func (c *oneWay) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.sent.Swap(true) {
		return len(p), nil
	}
	return c.SimConn.WriteTo(p, to)
}

func mustUDP(m ma.Multiaddr) *net.UDPAddr {
	to, _ := parse(m)
	return net.UDPAddrFromAddrPort(to.AddrPort())
}

// A source's first connection costs no extra round trip; those that follow within a while must show that their address
// is theirs (Retry).
func TestRetry(t *testing.T) {
	onInternet(t, Config{}, func(t *testing.T, n *internet) {
		for _, ip := range []string{"10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.2"} {
			if err := n.dial(ip); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * doubtWindow)
		if err := n.dial("10.0.0.2"); err != nil {
			t.Fatal(err)
		}
		want := []bool{true, false, true, false, true}
		for i, doubted := range n.asked {
			if i >= len(want) || doubted != want[i] {
				t.Fatalf("in doubt were %v, want %v", n.asked, want)
			}
		}
	})
}

// A flood of first packets from forged addresses takes the places of such addresses only, for two seconds. Real dialers
// come in meanwhile.
func TestForgedFlood(t *testing.T) {
	const places = 5
	onInternet(t, Config{Unverified: places}, func(t *testing.T, n *internet) {
		for i := range 300 {
			n.forge(netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(1 + i%250)}))
		}
		n.mu.Lock()
		if len(n.asked) != places || n.held != places {
			t.Errorf("admit was asked %d times and gave %d tickets, want %d", len(n.asked), n.held, places)
		}
		n.mu.Unlock()
		for _, ip := range []string{"10.0.0.2", "10.0.0.3", "10.1.0.1"} { // the last one is one that was abused
			if err := n.dial(ip); err != nil {
				t.Errorf("%s during the flood: %v", ip, err)
			}
		}
		time.Sleep(unverifiedTime)
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.held != 0 {
			t.Errorf("%d places are held after the flood", n.held)
		}
	})
}

// Nothing is computed for a refused connection, and admit is asked once about it, although its first flight is two
// packets.
func TestRefusedBeforeCryptography(t *testing.T) {
	onInternet(t, Config{}, func(t *testing.T, n *internet) {
		const dials = 20
		n.refuse = errors.New("the node is full")
		for range dials {
			if err := n.dial("10.0.0.2"); err == nil {
				t.Error("connected")
			}
			time.Sleep(refusedTime)
		}
		if n.tls.shown.Load() != 0 || len(n.asked) != dials {
			t.Errorf("%d certificates were made for %d refused connections, and admit was asked %d times",
				n.tls.shown.Load(), dials, len(n.asked))
		}
		n.refuse = nil
		if err := n.dial("10.0.0.2"); err != nil || n.tls.shown.Load() != 1 {
			t.Errorf("afterwards: %v, %d certificates", err, n.tls.shown.Load())
		}
	})
}

// Refusals are remembered for a moment, and only so many.
func TestRefusals(t *testing.T) {
	r, now, full := refusals{}, time.Now(), errors.New("full")
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("1.2.3.4"), uint16(i)) }
	for i := range 3 * maxRefused {
		r.add(at(i), full, now)
	}
	if len(r) > maxRefused {
		t.Errorf("%d refusals are remembered", len(r))
	}
	last := at(3*maxRefused - 1)
	if r.find(last, now) != full || r.find(last, now.Add(refusedTime)) != nil || r.find(at(0), now) != nil {
		t.Error("the wrong refusals are remembered")
	}
}

// A ticket is released when the handshake fails, whichever way, and when its owner ends the connection.
func TestTickets(t *testing.T) {
	onInternet(t, Config{}, func(t *testing.T, n *internet) {
		tr := newTransport(t, Config{}, dialerKey)
		from := n.socket(tr, netip.MustParseAddr("10.0.0.2"))
		defer from.release()
		_, err := from.quic.Dial(t.Context(), mustUDP(n.l.Addr()),
			&cryptotls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, &lib.Config{})
		if err == nil {
			t.Error("connected with another protocol")
		}
		q, err := from.quic.Dial(t.Context(), mustUDP(n.l.Addr()),
			&cryptotls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPN}}, &lib.Config{})
		if err == nil { // the dialer's handshake is complete before its missing certificate is missed
			<-q.Context().Done()
		}
		synctest.Wait()
		n.mu.Lock()
		if n.held != 0 || len(n.asked) != 2 {
			t.Errorf("%d places are held, of %d", n.held, len(n.asked))
		}
		n.mu.Unlock()

		n.mu.Lock()
		n.closes = true
		n.mu.Unlock()
		if err := n.dial("10.0.0.3"); err == nil {
			t.Error("an interrupted handshake succeeded")
		}
	})
}

// The decision about one address, case by case.
func TestDoubt(t *testing.T) {
	at := time.Now()
	d := newDoubt(2)
	ask := func(ip string, after time.Duration) bool { return d.ask(netip.MustParseAddr(ip), at.Add(after)) }
	for _, c := range []struct {
		ip    string
		after time.Duration
		want  bool
	}{
		{"1.2.3.4", 0, false}, {"1.2.3.4", time.Second, true}, {"1.2.3.5", time.Second, false}, {"127.0.0.1", 0, false},
		{"127.0.0.1", 0, false}, {"::1", 0, false}, {"::1", 0, false},
		{"2001:db8::1", 0, false}, {"2001:db8::2", 0, true}, {"2001:db8:0:1::1", 0, false},
		{"1.2.3.4", doubtWindow + time.Second, true}, {"1.2.3.4", 3 * doubtWindow, false},
	} {
		if got := ask(c.ip, c.after); got != c.want {
			t.Errorf("%s after %v: %v", c.ip, c.after, got)
		}
	}
	d.unverified = 2
	if !ask("9.9.9.9", 3*doubtWindow) {
		t.Error("no place is left, and the address is not asked for")
	}
	d.unverified = 0
	for i := range doubtSources + 10 {
		ask(netip.AddrFrom4([4]byte{20, 0, byte(i >> 8), byte(i)}).String(), 3*doubtWindow)
	}
	if len(d.now) > doubtSources || !ask("9.9.9.9", 3*doubtWindow) {
		t.Errorf("%d sources are remembered", len(d.now))
	}
}

// A node that listens dials from the same port, so that others see it where it can be dialed.
func TestOneSocket(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, at := range []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/udp/0/quic-v1"} {
		a, b := newTransport(t, Config{}, dialerKey), newTransport(t, Config{}, listenerKey)
		la, err := a.Listen(ctx, transporttest.Address(t, at), nil)
		if err != nil {
			t.Fatal(err)
		}
		lb, err := b.Listen(ctx, transporttest.Address(t, at), nil)
		if err != nil {
			t.Fatal(err)
		}
		near, far := connect(t, a, lb)
		if !near.LocalMultiaddr().Equal(la.Addr()) || !far.RemoteMultiaddr().Equal(la.Addr()) {
			t.Errorf("dialed from %v, seen as %v, listening on %v", near.LocalMultiaddr(), far.RemoteMultiaddr(),
				la.Addr())
		}
		connect(t, b, la)
		la.Close()
		lb.Close()
	}
}

// What a remote can make us hold of streams that nobody reads is bounded for the whole connection; when they are reset,
// the connection works on.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, streams = 1 << 20, 50
		near, far := simulated(t, Config{MaxWindow: most, MaxStreamWindow: most / 4, StreamWindow: 64 << 10})
		defer near.Close()
		defer far.Close()
		var sent atomic.Int64
		var wg sync.WaitGroup
		for range streams {
			wg.Go(func() {
				st, err := near.Open(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				st.SetWriteDeadline(time.Now().Add(10 * time.Second))
				n, err := st.Write(make([]byte, most))
				if err == nil {
					t.Error("a stream that nobody reads has taken everything")
				}
				sent.Add(int64(n))
				st.Reset(0)
			})
		}
		wg.Wait()
		if n := sent.Load(); n > most || n < 64<<10 {
			t.Errorf("%d bytes were taken, with a window of %d", n, most)
		}
		st, err := near.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Reset(0)
		wg.Go(func() {
			if _, err := st.Write(make([]byte, most)); err != nil {
				t.Error(err)
			}
			st.CloseWrite()
		})
		for {
			got, err := far.Accept(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, got)
			got.Reset(0)
			if err == nil {
				if n != most {
					t.Errorf("%d bytes came, want %d", n, most)
				}
				break
			}
		}
		wg.Wait()
	})
}
