package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// fakeConn is a raw connection from somewhere.
type fakeConn struct {
	from   ma.Multiaddr
	closed chan struct{}
	once   sync.Once
}

func connFrom(ip string) *fakeConn {
	return &fakeConn{from: transport.TCPMultiaddr(netip.AddrPortFrom(netip.MustParseAddr(ip), 1000)),
		closed: make(chan struct{})}
}

func (c *fakeConn) LocalMultiaddr() ma.Multiaddr  { return ma.StringCast("/ip4/1.2.3.4/tcp/1") }
func (c *fakeConn) RemoteMultiaddr() ma.Multiaddr { return c.from }
func (c *fakeConn) RemoteIP() netip.Addr {
	ip, _ := transport.MultiaddrIP(c.from)
	return ip
}
func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// fakeListener accepts what the test gives it.
type fakeListener struct {
	accepts chan any // a transport.Conn or an error
	admit   transport.Admit
	asked   int
	closed  chan struct{}
	once    sync.Once
}

func (l *fakeListener) Accept(ctx context.Context) (transport.Conn, transport.Ticket, error) {
	for {
		l.asked++
		select {
		case a := <-l.accepts:
			if err, ok := a.(error); ok {
				return nil, nil, err
			}
			c := a.(transport.Conn)
			ticket, err := l.admit(c)
			if err == nil {
				return &handshake.SecuredConn{Conn: c}, ticket, nil
			}
			c.Close()
		case <-l.closed:
			return nil, nil, transport.ErrListenerClosed
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}
func (l *fakeListener) Addr() ma.Multiaddr { return ma.StringCast("/ip4/1.2.3.4/tcp/1") }
func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// fakeTransport listens as the test says, and dials by calling dial.
type fakeTransport struct {
	noTransport
	listener *fakeListener
	dial     func(context.Context, ma.Multiaddr) (transport.Conn, error)
}

func (t *fakeTransport) CanDial(ma.Multiaddr) bool { return true }
func (t *fakeTransport) Dial(ctx context.Context, to ma.Multiaddr) (transport.Conn, error) {
	c, err := t.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return &handshake.SecuredConn{Conn: c}, nil
}
func (t *fakeTransport) Listen(_ context.Context, _ ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	if t.listener == nil {
		return nil, errors.New("address already in use")
	}
	t.listener.admit = admit
	return t.listener, nil
}

// fakeWire makes a link with a fakeSession of whatever connection, to the peer whose number is the last byte of the
// remote's IP.
type fakeWire struct {
	noWire
	mu       sync.Mutex
	sessions []*fakeSession
}

func (*fakeWire) Recognizes([]byte) bool { return true }
func (w *fakeWire) Upgrade(_ context.Context, a *handshake.Attempt) (*handshake.Link, error) {
	ip, _ := transport.MultiaddrIP(a.Conn.RemoteMultiaddr())
	key := testKey(int(ip.As4()[3])).Public()
	if err := a.CheckKey(key); err != nil {
		return nil, err
	}
	s := newFakeSession()
	w.mu.Lock()
	w.sessions = append(w.sessions, s)
	w.mu.Unlock()
	return &handshake.Link{Session: s, RemoteKey: key,
		Remote: handshake.NodeInfo{ID: key.NodeID(), Channels: []byte{1}}, Confirm: confirmed}, nil
}

// An accept loop goes on after errors, resting a little, takes no connection that a budget or a gate refuses, and ends
// with its listener or its context.
func TestAcceptLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		ln := &fakeListener{accepts: make(chan any, 100), closed: make(chan struct{})}
		wire := &fakeWire{}
		cfg.Transports, cfg.Wires = []transport.Transport{&fakeTransport{listener: ln}}, []handshake.Wire{wire}
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/0")}
		cfg.Handshake.Limits.AttemptsPerIP = 2
		cfg.Gates = []handshake.Gate{func(v handshake.Visitor) error {
			if ip, _ := transport.MultiaddrIP(v.Remote); v.At == handshake.AtAccept && ip.As4()[0] == 66 {
				return errors.New("not on my lawn")
			}
			return nil
		}}
		h, _ := newTestHost(t, cfg, muxer.Channel{ID: 1})
		events := h.Events(context.Background())
		stop := run(t, h)
		if got := h.ListenAddrs(); len(got) != 1 || !got[0].Equal(ln.Addr()) {
			t.Errorf("listening on %v", got)
		}

		began := time.Now()
		for range 10 {
			ln.accepts <- errors.New("too many open files")
		}
		ln.accepts <- connFrom("90.0.0.1")
		for h.links.of(peerID(1)) == nil {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took < 10*acceptPause || took > 11*acceptPause {
			t.Errorf("a connection after ten errors was taken after %v", took)
		}

		gated := connFrom("66.0.0.2")
		ln.accepts <- gated
		<-gated.closed
		for n := range 3 { // the third is one too many of that IP
			c := connFrom("90.0.0.3")
			ln.accepts <- c
			synctest.Wait()
			if n == 2 {
				<-c.closed
			}
		}
		synctest.Wait()
		var limits []string
		for len(events) > 0 {
			if e := <-events; e.Kind == EventRefused {
				limits = append(limits, fmt.Sprintf("%s %s %s %s", e.Address, e.Stage, e.Reason.Code, e.Reason.Limit))
			}
		}
		want := "[/ip4/66.0.0.2/tcp/1000 transport filtered  /ip4/90.0.0.3/tcp/1000 security duplicate  " +
			"/ip4/90.0.0.3/tcp/1000 transport too-many-handshakes limits.attempts_per_ip]"
		if got := fmt.Sprint(limits); got != want {
			t.Errorf("refused: %s, want %s", got, want)
		}
		for _, o := range []outcome{{"transport", "filtered", ""}, {"security", "duplicate", ""},
			{"transport", "too-many-handshakes", "limits.attempts_per_ip"}} {
			if n := h.outcomes.refused[o]; n != 1 {
				t.Errorf("%d refusals are counted of %v", n, o)
			}
		}
		stop()
		select {
		case <-ln.closed:
		default:
			t.Error("the listener is still open")
		}
	})
}

// A listener that is closed underneath the host ends its loop without ado.
func TestAcceptLoopEndsWithItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		ln := &fakeListener{closed: make(chan struct{})}
		cfg.Transports = []transport.Transport{&fakeTransport{listener: ln}}
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/0")}
		h, _ := newTestHost(t, cfg)
		stop := run(t, h)
		_ = ln.Close()
		time.Sleep(time.Minute)
		stop()
		if ln.asked != 1 {
			t.Errorf("Accept was called %d times", ln.asked)
		}
	})
}

// An address that cannot be bound ends Run, and those that were bound are closed.
func TestRunFailsWhereItCannotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		good := &fakeListener{closed: make(chan struct{})}
		cfg.Transports = []transport.Transport{&fakeTransport{listener: good}}
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/1"), ma.StringCast("/ip4/1.2.3.4/tcp/2")}
		h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1})
		h.cfg.Transports = []transport.Transport{&once{fakeTransport: fakeTransport{listener: good}}}
		err := h.Run(t.Context())
		if err == nil || err.Error() != "address already in use" {
			t.Errorf("Run: %v", err)
		}
		if got := h.WaitListening(t.Context()); got != err {
			t.Errorf("WaitListening: %v", got)
		}
		select {
		case <-good.closed:
		default:
			t.Error("the listener that was bound is still open")
		}
		if _, err := channels[0].Receive(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("Receive: %v", err)
		}
		if _, err := h.Dial(t.Context(), mustAddress(t, "/ip4/1.2.3.4/tcp/1/mconn/"+string(peerID(1)))); !errors.Is(err,
			ErrStopped) {
			t.Errorf("Dial: %v", err)
		}

		cfg.Transports = []transport.Transport{noTransport{}}
		cfg.Metrics = nil
		h, _ = newTestHost(t, cfg)
		if err := h.Run(t.Context()); !errors.Is(err, transport.ErrNoTransport) {
			t.Errorf("Run without a transport for the address: %v", err)
		}
	})
}

// once listens once.
type once struct {
	fakeTransport
	used bool
}

func (o *once) Listen(ctx context.Context, addr ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	if o.used {
		return nil, errors.New("address already in use")
	}
	o.used = true
	return o.fakeTransport.Listen(ctx, addr, admit)
}

// raceTest dials a peer at addresses whose fates the test chooses: after how long each answers, and whether it fails.
func raceTest(t *testing.T, fates ...fate) (won string, took time.Duration, failed int, began []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		start := time.Now()
		var mu sync.Mutex
		wire := &fakeWire{}
		cfg.Wires = []handshake.Wire{wire}
		cfg.Transports = []transport.Transport{&fakeTransport{dial: func(ctx context.Context,
			to ma.Multiaddr) (transport.Conn, error) {
			mu.Lock()
			began = append(began, time.Since(start))
			mu.Unlock()
			ip, _ := transport.MultiaddrIP(to)
			f := fates[ip.As4()[2]]
			if f.stuck {
				time.Sleep(f.after) // it does not look at ctx at once
			} else if !sleep(ctx, f.after) {
				return nil, ctx.Err()
			}
			if f.err != nil {
				return nil, f.err
			}
			return connFrom(ip.String()), nil
		}}}
		h, _ := newTestHost(t, cfg, muxer.Channel{ID: 1})
		d := peers.Dial{ID: peerID(1)}
		for i := range fates {
			d.Addresses = append(d.Addresses,
				mustAddress(t, fmt.Sprintf("/ip4/90.0.%d.1/tcp/1000/mconn/%s", i, peerID(1))))
		}
		l, failures := h.router.race(t.Context(), d)
		took, failed = time.Since(start), len(failures)
		if l != nil {
			won = l.shake.RemoteAddr.String()
			_ = l.session.Close(muxer.CodeRequested, "")
		}
		for _, s := range wire.sessions { // no loser stays open
			if _, _, closed := s.closed(); !closed {
				t.Error("a link that lost the race is still open")
			}
		}
	})
	return won, took, failed, began
}

type fate struct {
	after time.Duration
	err   error
	stuck bool
}

func TestRaceOfAddresses(t *testing.T) {
	const ms = time.Millisecond
	refused := errors.New("refused")
	for _, c := range []struct {
		name   string
		fates  []fate
		won    int // -1: none
		took   time.Duration
		failed int
		began  []time.Duration
	}{
		{"one that works", []fate{{after: 10 * ms}}, 0, 10 * ms, 0, []time.Duration{0}},
		{"one that fails", []fate{{after: 10 * ms, err: refused}}, -1, 10 * ms, 1, []time.Duration{0}},
		{"the first is quick", []fate{{after: 10 * ms}, {}}, 0, 10 * ms, 0, []time.Duration{0}},
		{"the first fails", []fate{{after: 10 * ms, err: refused}, {after: 10 * ms}}, 1, 20 * ms, 1,
			[]time.Duration{0, 10 * ms}},
		{"the first is slow", []fate{{after: time.Hour}, {after: 10 * ms}}, 1, 260 * ms, 0,
			[]time.Duration{0, 250 * ms}},
		{"the first is a little slow and wins", []fate{{after: 300 * ms}, {after: 100 * ms}}, 0, 300 * ms, 0,
			[]time.Duration{0, 250 * ms}},
		{"all fail", []fate{{err: refused}, {after: 10 * ms, err: refused}, {err: refused}}, -1, 10 * ms, 3,
			[]time.Duration{0, 0, 10 * ms}},
		{"the third", []fate{{after: time.Hour}, {after: 100 * ms, err: refused}, {after: 10 * ms}}, 2, 360 * ms, 1,
			[]time.Duration{0, 250 * ms, 350 * ms}},
		{"both at the same moment", []fate{{after: 260 * ms}, {after: 10 * ms}}, -2, 260 * ms, 0,
			[]time.Duration{0, 250 * ms}},
		{"the loser comes up too late to be stopped", []fate{{after: 400 * ms, stuck: true}, {after: 10 * ms}}, 1,
			400 * ms, 0, []time.Duration{0, 250 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			won, took, failed, began := raceTest(t, c.fates...)
			want := ""
			if c.won >= 0 {
				want = fmt.Sprintf("/ip4/90.0.%d.1/tcp/1000", c.won)
			}
			if c.won != -2 && won != want || took != c.took || failed != c.failed ||
				fmt.Sprint(began) != fmt.Sprint(c.began) {
				t.Errorf("%q won after %v with %d failures, dials at %v; want %q after %v with %d, dials at %v", won,
					took, failed, began, want, c.took, c.failed, c.began)
			}
		})
	}
}

// A dial takes DialTimeout at most, and its failure says which stage it was.
func TestADialHasATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Limits.DialTimeout = 3 * time.Second
		cfg.Transports = []transport.Transport{&fakeTransport{dial: func(ctx context.Context,
			_ ma.Multiaddr) (transport.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}}
		h, _ := newTestHost(t, cfg)
		began := time.Now()
		_, err := dialOne(t, h, mustAddress(t, "/ip4/1.2.3.4/tcp/1/mconn/"+string(peerID(1))))
		if d := asReason(err); time.Since(began) != 3*time.Second || d.Code != muxer.CodeTimeout ||
			stageOf(err) != handshake.StageTransport {
			t.Errorf("after %v in stage %q: %v", time.Since(began), stageOf(err), err)
		}
	})
}

func TestRemoteText(t *testing.T) {
	c := connFrom("90.1.2.3")
	if got := remoteText(c); got != "/ip4/90.1.2.3/tcp/1000" {
		t.Error(got)
	}
	c.from = nil
	if got := remoteText(c); got != "" {
		t.Errorf("without an address: %q", got)
	}
	if stageOf(errors.New("x")) != "" || stageOf(&handshake.Refusal{Stage: "info"}) != "info" {
		t.Error("stages")
	}
}

// namesTo is a resolver for which every name leads to one IP.
type namesTo netip.Addr

func (n namesTo) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.Addr(n)}, nil
}

// A host name that leads to a banned IP is not dialed, let alone greeted: not a byte goes there, whatever the transport
// does when it dials.
func TestANameDoesNotHideABannedIP(t *testing.T) {
	cfg := testConfig()
	banned, dials := netip.MustParseAddr("90.0.0.1"), 0
	cfg.Wires = []handshake.Wire{&fakeWire{}}
	cfg.Transports = []transport.Transport{&fakeTransport{dial: func(ctx context.Context,
		to ma.Multiaddr) (transport.Conn, error) {
		target, ok := transport.ParseTarget(to, ma.P_TCP)
		if !ok {
			t.Fatal(to)
		}
		return transport.DialTarget(ctx, target, namesTo(banned), time.Second,
			func(_ context.Context, to netip.AddrPort) (transport.Conn, error) {
				dials++
				return connFrom(to.Addr().String()), nil
			})
	}}}
	h, _ := newTestHost(t, cfg, muxer.Channel{ID: 1})
	addr := mustAddress(t, fmt.Sprintf("/dns/a.example/tcp/1000/mconn/%s", peerID(1)))
	if err := h.peers.Ban(peerstore.Target{Prefix: netip.MustParsePrefix("90.0.0.0/24")}, time.Time{},
		"a test"); err != nil {
		t.Fatal(err)
	}
	_, err := dialOne(t, h, addr)
	if r := asReason(err); r.Code != muxer.CodeBanned || r.Remote || stageOf(err) != handshake.StageTransport ||
		dials != 0 {
		t.Fatalf("%d dials: %v", dials, err)
	}
	if _, err := h.peers.Unban(peerstore.Target{Prefix: netip.MustParsePrefix("90.0.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	l, err := dialOne(t, h, addr)
	if err != nil || dials != 1 {
		t.Fatalf("%d dials: %v", dials, err)
	}
	_ = l.session.Close(muxer.CodeRequested, "")
}
