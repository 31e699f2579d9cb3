package golibp2p

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// connTable holds the connections of a host. It is the host's Network.
type connTable struct {
	a *adapter

	mu      sync.RWMutex // guards what follows
	byPeer  map[peer.ID][]*conn
	byNode  map[transport.NodeID]*conn // the latest one of a peer
	waiting map[peer.ID]*waiters       // those that wait for a connection of the peer
	closed  bool

	notifieesMu sync.RWMutex
	notifiees   []network.Notifiee // in the order of Notify; replaced, not changed
}

var _ network.Network = (*connTable)(nil)

func newConnTable(a *adapter) *connTable {
	return &connTable{a: a, byPeer: map[peer.ID][]*conn{}, byNode: map[transport.NodeID]*conn{},
		waiting: map[peer.ID]*waiters{}}
}

// comeUp is the host's hook: it makes a connection of a peering. The peer's streams wait for its return, so notifiees
// hear of the connection before its streams are served.
func (t *connTable) comeUp(p *host.Peering) {
	info := p.Info()
	if info.Wire != transport.WireLibp2p {
		return
	}
	c, err := newConn(t, p, &info)
	if err == nil && !t.a.allows(c) {
		c.scope.Done()
		err = errors.New("a connection gater said no")
	}
	if err != nil {
		p.Disconnect(muxer.CodeFiltered, err.Error())
		return
	}
	t.a.learn(c, &info)
	c.told.Lock() // until all have heard of it: its end is told later
	defer c.told.Unlock()
	t.mu.Lock()
	if t.closed || !t.a.spawn(c.awaitEnd) {
		t.mu.Unlock()
		return
	}
	first := len(t.byPeer[c.remote]) == 0
	t.byPeer[c.remote] = append(t.byPeer[c.remote], c)
	t.byNode[c.node] = c
	t.mu.Unlock()
	if first {
		t.a.events.connectedness(c.remote, network.Connected)
		t.a.told(c.remote)
	}
	t.notifyAll(func(n network.Notifiee) { n.Connected(t, c) })
	t.a.identified(c, &info)
	if !info.Guest && info.SignedRecord == nil {
		t.a.spawn(func() { t.a.fetchRecord(c, info) })
	}
	t.mu.Lock()
	c.ready = true
	if w := t.waiting[c.remote]; w != nil {
		w.c = c
		close(w.ready)
		delete(t.waiting, c.remote)
	}
	t.mu.Unlock()
	p.OnChange(func(info host.PeerInfo) { t.a.relearn(c, &info) })
}

// remove takes a connection out. It reports whether it was the peer's last one.
func (t *connTable) remove(c *conn) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(t.byPeer[c.remote]), func(o *conn) bool { return o == c })
	if last = len(list) == 0; last {
		delete(t.byPeer, c.remote)
	} else {
		t.byPeer[c.remote] = list
	}
	if t.byNode[c.node] == c {
		delete(t.byNode, c.node)
		if !last {
			t.byNode[c.node] = list[len(list)-1]
		}
	}
	return last
}

// of returns the peer's connection; nil for none.
func (t *connTable) of(id transport.NodeID) *conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byNode[id]
}

// best returns the latest connection of a peer of which notifiees have heard; nil for none.
func (t *connTable) best(p peer.ID) *conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.latest(p)
}

// latest is best. mu is held.
func (t *connTable) latest(p peer.ID) *conn {
	for _, c := range slices.Backward(t.byPeer[p]) {
		if c.ready {
			return c
		}
	}
	return nil
}

// waiters wait for a connection of a peer.
type waiters struct {
	n     int           // of them; connTable.mu guards this
	ready chan struct{} // closed when there is one
	c     *conn         // it, by then; it may have ended
}

// wait returns the connection of a peer, or else what tells of one to come; then leave ends the wait.
func (t *connTable) wait(p peer.ID) (c *conn, w *waiters) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c = t.latest(p); c != nil {
		return c, nil
	}
	if w = t.waiting[p]; w == nil {
		w = &waiters{ready: make(chan struct{})}
		t.waiting[p] = w
	}
	w.n++
	return nil, w
}

func (t *connTable) leave(p peer.ID, w *waiters) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.n--; w.n == 0 && t.waiting[p] == w {
		delete(t.waiting, p)
	}
}

// connect returns the connection of a peer, and dials it unless ctx forbids that.
func (t *connTable) connect(ctx context.Context, p peer.ID) (*conn, error) {
	t.mu.RLock()
	list := t.byPeer[p]
	t.mu.RUnlock()
	if len(list) > 0 {
		return list[len(list)-1], nil
	}
	if no, _ := network.GetNoDial(ctx); no {
		return nil, network.ErrNoConn
	}
	return t.dial(ctx, p)
}

// closeAll ends all connections; none comes up any more.
func (t *connTable) closeAll() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	for _, c := range t.Conns() {
		_ = c.Close()
	}
}

// Close closes the host.
func (t *connTable) Close() error { return t.a.Close() }

func (t *connTable) Peerstore() peerstore.Peerstore { return t.a.store }
func (t *connTable) LocalPeer() peer.ID             { return t.a.self }

// ClosePeer ends the connections to a peer.
func (t *connTable) ClosePeer(p peer.ID) error {
	var errs []error
	for _, c := range t.ConnsToPeer(p) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (t *connTable) Connectedness(p peer.ID) network.Connectedness {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.byPeer[p]) > 0 {
		return network.Connected
	}
	return network.NotConnected
}

func (t *connTable) Peers() []peer.ID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]peer.ID, 0, len(t.byPeer))
	for p := range t.byPeer {
		out = append(out, p)
	}
	return out
}

func (t *connTable) Conns() []network.Conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]network.Conn, 0, len(t.byPeer))
	for _, list := range t.byPeer {
		for _, c := range list {
			out = append(out, c)
		}
	}
	return out
}

func (t *connTable) ConnsToPeer(p peer.ID) []network.Conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := t.byPeer[p]
	out := make([]network.Conn, len(list))
	for i, c := range list {
		out[i] = c
	}
	return out
}

// SetStreamHandler is not of use here: streams go to the handlers of their protocols.
func (t *connTable) SetStreamHandler(network.StreamHandler) {}

// NewStream opens a stream over which the caller negotiates the protocol, as in go-libp2p. SetProtocol only labels it.
func (t *connTable) NewStream(ctx context.Context, p peer.ID) (network.Stream, error) {
	c, err := t.connect(ctx, p)
	if err != nil {
		return nil, err
	}
	return c.NewStream(ctx)
}

// Listen fails: the Switchyard host knows its listen addresses before it runs.
func (t *connTable) Listen(list ...ma.Multiaddr) error {
	if len(list) == 0 {
		return nil
	}
	return errors.New("golibp2p: listen addresses are set before the host runs")
}

func (t *connTable) ListenAddresses() []ma.Multiaddr { return t.a.h.ListenAddrs() }

func (t *connTable) InterfaceListenAddresses() ([]ma.Multiaddr, error) {
	list := t.a.h.ListenAddrs()
	if len(list) == 0 {
		return nil, nil
	}
	return manet.ResolveUnspecifiedAddresses(list, nil)
}

func (t *connTable) ResourceManager() network.ResourceManager { return t.a.resources }

// Notify makes a notifiee hear of connections, after those that were added before it.
func (t *connTable) Notify(n network.Notifiee) {
	t.notifieesMu.Lock()
	defer t.notifieesMu.Unlock()
	t.notifiees = append(t.notifiees[:len(t.notifiees):len(t.notifiees)], n)
}

func (t *connTable) StopNotify(n network.Notifiee) {
	t.notifieesMu.Lock()
	defer t.notifieesMu.Unlock()
	t.notifiees = slices.DeleteFunc(slices.Clone(t.notifiees), func(o network.Notifiee) bool { return o == n })
}

// notifyAll calls fn with each notifiee, in order.
func (t *connTable) notifyAll(fn func(network.Notifiee)) {
	t.notifieesMu.RLock()
	list := t.notifiees
	t.notifieesMu.RUnlock()
	for _, n := range list {
		fn(n)
	}
}
