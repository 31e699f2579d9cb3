package pex

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a network of fake nodes in one process. It links them, carries their messages after a delay, and lets them
// dial what their sources find.
type world struct {
	t     *testing.T
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	delay time.Duration

	mu    sync.Mutex
	nodes map[transport.NodeID]*fakeNode
}

// fakeNode is what a source sees of its node, and the channel that it was given.
type fakeNode struct {
	w     *world
	id    transport.NodeID
	addr  transport.Address
	ended chan error // of Run

	// Guarded by w.mu.
	peers       map[transport.NodeID]*fakeLink
	known       []transport.Address // in order of discovery
	slots       int                 // outbound links that it wants; 0: no dials
	needs       bool                // NeedsPeers, beside empty slots
	reports     []host.Behaviour
	hungUp      []muxer.Code
	queueFull   bool // TrySend fails
	received    []received
	block       chan struct{} // found waits for it, where not nil
	unread      chan struct{} // Receive waits for it, where not nil
	stopped     chan struct{} // the source's loop waits for it, where not nil
	updates     []host.PeerUpdate
	updatesWake chan struct{}
	inbox       []host.Envelope
	inboxWake   chan struct{}
}

type fakeLink struct{ info host.PeerInfo }

// received is a message that a fakeNode without a source got.
type received struct {
	host.Envelope
	at time.Time
}

// inWorld runs fn in a bubble with a world that is torn down after it.
func inWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		w := &world{t: t, ctx: ctx, stop: stop, delay: 10 * time.Millisecond, nodes: map[transport.NodeID]*fakeNode{}}
		fn(t, w)
		stop()
		w.wg.Wait()
	})
}

// bare adds a node without a source: the test speaks for it.
func (w *world) bare(n int) *fakeNode { return w.at(n, fmt.Sprintf("10.0.%d.%d", n/250, n%250+1)) }

func (w *world) at(n int, ip string) *fakeNode {
	id := transport.NodeID(fmt.Sprintf("%040x", n+1))
	addr, err := transport.CometAddress(id, ip, 26656)
	if err != nil {
		w.t.Fatal(err)
	}
	f := &fakeNode{w: w, id: id, addr: addr, peers: map[transport.NodeID]*fakeLink{}, ended: make(chan error, 1),
		updatesWake: make(chan struct{}, 1), inboxWake: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[id] = f
	return f
}

// node adds a node with a source.
func (w *world) node(n int, cfg Config) *fakeNode {
	f := w.bare(n)
	f.start(cfg)
	return f
}

func (f *fakeNode) start(cfg Config) {
	f.w.wg.Go(func() { f.ended <- newSource(cfg, f, nil).run(f.w.ctx, f, fakeUpdates{f}, f.found) })
}

// link makes two nodes peers; from has dialed.
func (w *world) link(from, to *fakeNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from.peers[to.id] != nil || from == to {
		return
	}
	add := func(a, b *fakeNode, inbound bool) {
		a.peers[b.id] = &fakeLink{host.PeerInfo{ID: b.id, Inbound: inbound, Address: b.addr.String(), Transport: "tcp",
			Wire: "comet", Connected: time.Now()}}
		a.notify(host.PeerUpdate{ID: b.id, Status: host.PeerUp, Inbound: inbound, Channels: []byte{ChannelID, 0x7e}})
	}
	add(from, to, false)
	add(to, from, true)
}

// cut ends the link of two nodes.
func (w *world) cut(a, b *fakeNode) { w.cutFor(a, b, muxer.CodeRequested) }

func (w *world) cutFor(a, b *fakeNode, code muxer.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.peers[b.id] == nil {
		return
	}
	delete(a.peers, b.id)
	delete(b.peers, a.id)
	reason := &host.DisconnectError{Code: code}
	a.notify(host.PeerUpdate{ID: b.id, Status: host.PeerDown, Reason: reason})
	b.notify(host.PeerUpdate{ID: a.id, Status: host.PeerDown, Reason: reason})
}

func (f *fakeNode) notify(u host.PeerUpdate) {
	f.updates = append(f.updates, u)
	select {
	case f.updatesWake <- struct{}{}:
	default:
	}
}

type fakeUpdates struct{ f *fakeNode }

func (u fakeUpdates) Close() {}
func (u fakeUpdates) Next(ctx context.Context) (host.PeerUpdate, error) {
	return next(ctx, u.f.w, &u.f.updates, u.f.updatesWake)
}

func (f *fakeNode) Receive(ctx context.Context) (host.Envelope, error) {
	e, err := next(ctx, f.w, &f.inbox, f.inboxWake)
	f.await(&f.unread)
	return e, err
}

// next takes the first of a list, or waits for one.
func next[T any](ctx context.Context, w *world, list *[]T, wake <-chan struct{}) (T, error) {
	for {
		w.mu.Lock()
		if len(*list) > 0 {
			v := (*list)[0]
			*list = (*list)[1:]
			w.mu.Unlock()
			return v, nil
		}
		w.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
}

// TrySend delivers after the delay, if the link is up then.
func (f *fakeNode) TrySend(to transport.NodeID, msg []byte) bool {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.queueFull || f.peers[to] == nil {
		return false
	}
	f.w.wg.Go(func() {
		select {
		case <-time.After(f.w.delay):
		case <-f.w.ctx.Done():
			return
		}
		f.w.mu.Lock()
		defer f.w.mu.Unlock()
		other := f.w.nodes[to]
		if other.peers[f.id] == nil {
			return
		}
		e := host.Envelope{From: f.id, Message: msg}
		other.received = append(other.received, received{e, time.Now()})
		other.inbox = append(other.inbox, e)
		select {
		case other.inboxWake <- struct{}{}:
		default:
		}
	})
	return true
}

func (f *fakeNode) AnswerVisitors(func(host.PeerInfo, []byte) []byte) {}

func (f *fakeNode) Self() transport.NodeID             { return f.id }
func (f *fakeNode) SelfAddresses() []transport.Address { return []transport.Address{f.addr} }

func (f *fakeNode) Peers() []host.PeerInfo {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	var out []host.PeerInfo
	for _, l := range f.peers {
		out = append(out, l.info)
	}
	return out
}

func (f *fakeNode) Advertise(to transport.NodeID, limit int) []transport.Address {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	out := slices.Clone(f.known)
	for id := range f.peers { // as a host does: the peers that dialed us have announced their addresses
		if other := f.w.nodes[id]; !slices.Contains(out, other.addr) {
			out = append(out, other.addr)
		}
	}
	out = slices.DeleteFunc(out, func(a transport.Address) bool { return a.ID() == to })
	return out[:min(limit, len(out))]
}

func (f *fakeNode) Report(id transport.NodeID, b host.Behaviour) {
	f.w.mu.Lock()
	f.reports = append(f.reports, b)
	f.w.mu.Unlock()
	if b.Severity >= host.Disconnect {
		f.Disconnect(id, muxer.CodeMisbehaved, b.Reason)
	}
}

func (f *fakeNode) Disconnect(id transport.NodeID, code muxer.Code, _ string) {
	f.w.mu.Lock()
	f.hungUp = append(f.hungUp, code)
	other := f.w.nodes[id]
	f.w.mu.Unlock()
	f.w.wg.Go(func() { // queued messages go first
		select {
		case <-time.After(f.w.delay):
		case <-f.w.ctx.Done():
		}
		f.w.cut(f, other)
	})
}

// await waits for what a field holds, if anything.
func (f *fakeNode) await(field *chan struct{}) {
	f.w.mu.Lock()
	until := *field
	f.w.mu.Unlock()
	if until == nil {
		return
	}
	select {
	case <-until:
	case <-f.w.ctx.Done():
	}
}

// holdUp makes those that await a field wait for d.
func (f *fakeNode) holdUp(field *chan struct{}, d time.Duration) {
	until := make(chan struct{})
	f.w.mu.Lock()
	*field = until
	f.w.mu.Unlock()
	time.Sleep(d)
	f.w.mu.Lock()
	*field = nil
	f.w.mu.Unlock()
	close(until)
}

func (f *fakeNode) NeedsPeers() bool {
	f.await(&f.stopped)
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.needs || f.outbound() < f.slots
}

func (f *fakeNode) outbound() (n int) {
	for _, l := range f.peers {
		if !l.info.Inbound {
			n++
		}
	}
	return n
}

// found keeps an address and, where slots are free, dials it.
func (f *fakeNode) found(a transport.Address, from transport.NodeID) {
	if from == "" || from == f.id {
		f.w.t.Errorf("%s got %s from %q", f.id, a, from)
	}
	f.await(&f.block)
	if f.w.ctx.Err() != nil {
		return
	}
	f.w.mu.Lock()
	if !slices.Contains(f.known, a) {
		f.known = append(f.known, a)
	}
	other, dial := f.w.nodes[a.ID()], f.outbound() < f.slots
	f.w.mu.Unlock()
	if dial && other != nil {
		f.w.link(f, other)
	}
}

// say sends a message as it is.
func (f *fakeNode) say(to *fakeNode, msg []byte) {
	if !f.TrySend(to.id, msg) {
		f.w.t.Errorf("%s cannot send to %s", f.id, to.id)
	}
}

// heard returns the requests and the responses that a bare node got.
func (f *fakeNode) heard() (requests []time.Time, responses [][]*pexpb.PexAddress) {
	synctest.Wait()
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, r := range f.received {
		m, _, err := pexpb.Decode(r.Message, 1000)
		if err != nil {
			f.w.t.Fatal(err)
		}
		if m.GetRequest() != nil {
			requests = append(requests, r.at)
		} else {
			responses = append(responses, m.GetResponse().GetAddresses())
		}
	}
	f.received = nil
	return requests, responses
}

func (f *fakeNode) worst() host.Severity {
	synctest.Wait()
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	worst := host.Log
	for _, b := range f.reports {
		worst = max(worst, b.Severity)
	}
	return worst
}

func (f *fakeNode) knows() []transport.Address {
	synctest.Wait()
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return slices.Clone(f.known)
}

func (f *fakeNode) isLinked(to *fakeNode) bool {
	synctest.Wait()
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.peers[to.id] != nil
}
