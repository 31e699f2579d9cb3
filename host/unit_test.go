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
	memstore "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// What the tests of links, channels and inboxes are built from: a host without a network, and sessions that the test
// speaks for.

func mustAddress(t testing.TB, s string) transport.Address {
	t.Helper()
	a, err := transport.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// testKey is the n-th key of a test.
func testKey(n int) *handshake.NodeKey {
	return handshake.NewIdentity([32]byte{byte(n >> 8), byte(n), 1})
}

// noTransport dials and listens nowhere.
type noTransport struct{}

func (noTransport) Name() string              { return "none" }
func (noTransport) CanDial(ma.Multiaddr) bool { return false }
func (noTransport) Dial(context.Context, ma.Multiaddr) (transport.Conn, error) {
	return nil, transport.ErrNoTransport
}
func (noTransport) Listen(context.Context, ma.Multiaddr, transport.Admit) (transport.Listener, error) {
	return nil, transport.ErrNoTransport
}
func (noTransport) Close() error { return nil }

// noWire makes no link.
type noWire struct{}

func (noWire) Name() string                   { return "none" }
func (noWire) Recognizes([]byte) bool         { return false }
func (noWire) CanDial(transport.Address) bool { return true }
func (noWire) Upgrade(context.Context, *handshake.Attempt) (*handshake.Link, error) {
	return nil, errors.New("no wire")
}

// testConfig is a host that needs no network.
func testConfig() Config {
	return Config{Network: "unit", Identity: testKey(0), Store: memstore.NewSeeded(peerstore.Limits{}, 1),
		Transports: []transport.Transport{noTransport{}}, Wires: []handshake.Wire{noWire{}},
		Peers: peers.Config{Seed: 1}}
}

// newTestHost makes a host with channels; it does not run.
func newTestHost(t testing.TB, cfg Config, channels ...muxer.Channel) (*Host, []*Channel) {
	t.Helper()
	h, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out []*Channel
	for _, desc := range channels {
		c, err := h.OpenChannel(desc)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return h, out
}

// run runs a host until the returned function is called, which waits for it.
func run(t testing.TB, h *Host) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	_ = h.WaitListening(context.Background())
	return func() {
		cancel()
		wg.Wait()
	}
}

// fakeSession is a session whose remote is the test. Run ends at Close, or at hangUp.
type fakeSession struct {
	quiet bool // the remote gives no sign of life by itself

	mu      sync.Mutex
	h       muxer.Handler
	ctx     context.Context
	started chan struct{} // closed when Run begins
	ended   chan struct{} // closed by the first Close or hangUp
	err     error
	code    muxer.Code
	reason  string
	sent    map[byte][][]byte
	full    bool // TrySend fails
}

func newFakeSession() *fakeSession {
	return &fakeSession{started: make(chan struct{}), ended: make(chan struct{}), sent: map[byte][][]byte{}}
}

func (s *fakeSession) Send(_ context.Context, ch byte, msg []byte) error {
	if !s.TrySend(ch, msg) {
		return errors.New("full")
	}
	return nil
}

func (s *fakeSession) TrySend(ch byte, msg []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full || s.err != nil {
		return false
	}
	s.sent[ch] = append(s.sent[ch], msg)
	return true
}

func (s *fakeSession) Run(ctx context.Context, h muxer.Handler) error {
	s.mu.Lock()
	s.h = h
	err := s.err
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithCancel(context.Background())
	s.mu.Unlock()
	close(s.started)
	defer cancel()
	if err != nil {
		return err
	}
	if !s.quiet && h != nil {
		h.Established()
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		_ = s.Close(muxer.CodeShuttingDown, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *fakeSession) Close(code muxer.Code, reason string) error {
	s.end(&muxer.CloseError{Code: code, Reason: reason, Err: muxer.ErrClosed}, code, reason)
	return nil
}

// hangUp is what the remote does.
func (s *fakeSession) hangUp(err error) { s.end(err, 0, "") }

func (s *fakeSession) end(err error, code muxer.Code, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err, s.code, s.reason = err, code, reason
		close(s.ended)
	}
}

// closed is how our side has closed the session; false while it is open, or when the remote has hung up.
func (s *fakeSession) closed() (muxer.Code, string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code, s.reason, s.code != 0
}

func (s *fakeSession) OpenStream(context.Context, ...string) (muxer.Stream, error) {
	return nil, muxer.ErrNoStreams
}

func (s *fakeSession) Ping(context.Context) (time.Duration, error) { return time.Millisecond, nil }
func (s *fakeSession) ChannelStats() []muxer.ChannelStats          { return nil }

func (s *fakeSession) Stats() muxer.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var st muxer.Stats
	for _, msgs := range s.sent {
		st.SentMessages += uint64(len(msgs))
	}
	return st
}

// testLink is a link of h to the n-th peer of the test, over a fakeSession; it is not registered anywhere.
func testLink(h *Host, n int, side muxer.Side, confirms bool) (*link, *fakeSession) {
	key := testKey(n).Public()
	s := newFakeSession()
	var all []byte
	for _, c := range h.channels {
		all = append(all, c.desc.ID)
	}
	ip := netip.AddrFrom4([4]byte{90, byte(n >> 8), byte(n), 1})
	shake := &handshake.Link{Session: s, Wire: "fake", Transport: "fake", Security: "fake", Muxer: "fake", Side: side,
		RemoteKey: key,
		Remote: handshake.NodeInfo{ID: key.NodeID(), Network: "unit", Moniker: fmt.Sprintf("peer-%d", n),
			Channels: all},
		RemoteAddr: transport.TCPMultiaddr(netip.AddrPortFrom(ip, 1000))}
	if confirms {
		shake.Confirm = confirmed
	}
	return newLink(h, shake, ip), s
}

// peeringOf is the peering of a test link, which comes up without a peer manager.
func peeringOf(l *link) *Peering {
	if p := l.peering.Load(); p != nil {
		return p
	}
	p := &Peering{host: l.host, id: l.peer, number: l.num, since: time.Now(), done: make(chan struct{})}
	p.link.Store(l)
	p.known.Store(true)
	l.peering.Store(p)
	return p
}

// dialedLink is a testLink that somebody has asked for.
func dialedLink(t testing.TB, h *Host, n int, confirms bool) (*link, *fakeSession) {
	t.Helper()
	l, s := testLink(h, n, muxer.Dialer, confirms)
	a, err := transport.NewAddress(l.shake.RemoteAddr, string(l.peer))
	if err == nil {
		err = h.peers.BeginDial(a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

// confirmed is the end of a handshake with a remote that takes whatever we take.
func confirmed(_ context.Context, verdict *handshake.Refusal) error {
	if verdict != nil {
		return verdict
	}
	return nil
}

// handOn lets a link live in a host that runs, as the router does.
func handOn(h *Host, l *link) { h.tasks.wg.Go(func() { l.handOver(*h.runCtx.Load()) }) }

// Visits from one IP leave room for those from others; loopback is many.
func TestVisitsOfOneIP(t *testing.T) {
	var v visits
	n := 0
	take := func(ip string) bool {
		n++
		return v.take(transport.NodeID(fmt.Sprint(n)), netip.MustParseAddr(ip))
	}
	for i := range maxVisits {
		if got, want := take("192.0.2.1"), i < maxVisitsPerIP; got != want {
			t.Fatalf("visit %d of one IP: %v", i, got)
		}
	}
	if !take("192.0.2.2") {
		t.Error("no room for another IP")
	}
	for range maxVisits - maxVisitsPerIP - 1 {
		if !take("127.0.0.1") {
			t.Fatal("no room for loopback")
		}
	}
	if take("192.0.2.3") {
		t.Error("too many in all")
	}
	v.give(netip.MustParseAddr("192.0.2.2"))
	if take("192.0.2.1") || !take("192.0.2.2") {
		t.Error("a place that was given back is for another IP")
	}
}

// A node is refused at once for a while after it got three answers; of so many nodes that is remembered.
func TestVisitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v visits
		ip := netip.MustParseAddr("192.0.2.1")
		visit := func(id transport.NodeID) bool {
			if !v.take(id, ip) {
				return false
			}
			v.answered(id)
			v.give(ip)
			return true
		}
		three := func(id transport.NodeID) {
			for i := range maxAnswers + 1 {
				if visit(id) != (i < maxAnswers) {
					t.Errorf("visit %d of %s", i+1, id)
				}
			}
		}
		three("a")
		three("b")
		for i := range 2 * maxVisited {
			visit(transport.NodeID(fmt.Sprint(i)))
		}
		if len(v.given) > maxVisited {
			t.Errorf("%d visits are remembered", len(v.given))
		}
		time.Sleep(visitPause)
		three("a")
	})
}

// scoreOf returns the score of a peer.
func scoreOf(h *Host, id transport.NodeID) int {
	st, _ := h.peers.Status(id)
	return st.Score
}

// dialOne dials an address.
func dialOne(t *testing.T, h *Host, a transport.Address) (*link, error) {
	t.Helper()
	return h.router.dialAddress(t.Context(), &peers.Dial{ID: a.ID(), Addresses: []transport.Address{a}}, 0)
}
