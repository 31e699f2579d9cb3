package golibp2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
)

// adapter is a go-libp2p host over a Switchyard host.
type adapter struct {
	h         *host.Host
	log       *slog.Logger
	self      peer.ID
	store     peerstore.Peerstore
	ownStore  bool // Close closes it
	bus       event.Bus
	events    *events
	conns     *connTable
	mux       *protocols
	manager   connmgr.ConnManager
	resources network.ResourceManager
	gater     connmgr.ConnectionGater // nil for none
	records   bool                    // we sign a record of ourselves
	addrs     []ma.Multiaddr          // ours, as events last told; addressesChanged has it

	announced chan struct{}   // closed once listenings has told where the host listens
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	below     func() error // stops what runs the host; nil: the caller does

	mu      sync.Mutex // orders spawn with Close
	wg      sync.WaitGroup
	closed  bool // nothing is spawned any more
	closing bool // Close was called

	over     chan struct{} // closed at the end of Close; not a sync.Once, whose second caller stops time in synctest
	closeErr error         // of Close, once over is closed
}

var _ corehost.Host = (*adapter)(nil)

// New makes a go-libp2p host of h, which must not run yet: the caller runs it, and stops it after Close. One host takes
// one adapter.
func New(h *host.Host, opts ...Option) (corehost.Host, error) {
	a, err := newAdapter(h, opts)
	if err != nil {
		return nil, fmt.Errorf("golibp2p: %w", err)
	}
	return a, nil
}

func newAdapter(h *host.Host, opts []Option) (*adapter, error) {
	if h == nil {
		return nil, errors.New("no host")
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	key, err := publicKey(h.PublicKey())
	if err != nil {
		return nil, err
	}
	self, err := peer.IDFromPublicKey(key)
	if err != nil {
		return nil, err
	}
	a := &adapter{h: h, log: cmp.Or(o.log, slog.New(slog.DiscardHandler)), self: self, store: o.store,
		manager: o.manager, resources: o.resources, gater: o.gater, bus: eventbus.NewBus(),
		announced: make(chan struct{}), over: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if a.store == nil {
		if a.store, err = pstoremem.NewPeerstore(); err != nil {
			return nil, err
		}
		a.ownStore = true
	}
	if err := a.build(key, o); err != nil {
		a.cancel()
		if a.ownStore {
			_ = a.store.Close()
		}
		return nil, err
	}
	return a, nil
}

// build makes the parts, and the host call them.
func (a *adapter) build(key pubKey, o options) (err error) {
	if err := a.store.AddPubKey(a.self, key); err != nil {
		return err
	}
	private := o.key
	if private == nil && o.identity != nil {
		private = &signingKey{identity: o.identity, public: key}
	}
	if private != nil {
		if err := a.store.AddPrivKey(a.self, private); err != nil {
			return err
		}
	}
	a.records = private != nil
	a.conns = newConnTable(a)
	if a.resources == nil {
		a.resources = &resources{t: a.conns}
	}
	a.mux = newProtocols(a)
	if a.manager == nil {
		a.manager = newConnManager(a.conns)
	}
	a.conns.Notify(a.manager.Notifee())
	if a.events, err = newEvents(a.bus, a.ctx.Done()); err != nil {
		return err
	}
	if err := a.h.OnPeer(a.conns.comeUp); err != nil {
		a.events.close()
		return err
	}
	a.spawn(a.events.run)
	a.spawn(a.listenings)
	return nil
}

// spawn runs fn on a goroutine that Close waits for. It reports false after Close.
func (a *adapter) spawn(fn func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.wg.Go(fn)
	return true
}

// listenings waits until the host listens, and says where.
func (a *adapter) listenings() {
	defer close(a.announced)
	if a.h.WaitListening(a.ctx) != nil {
		return
	}
	for _, m := range a.h.ListenAddrs() {
		a.conns.notifyAll(func(n network.Notifiee) { n.Listen(a.conns, m) })
	}
	a.addressesChanged()
	a.spawn(a.followAddresses)
}

// ID returns our peer id.
func (a *adapter) ID() peer.ID { return a.self }

// Peerstore returns what is known of peers.
func (a *adapter) Peerstore() peerstore.Peerstore { return a.store }

// Addrs returns the addresses at which we can be dialed, as far as we know.
func (a *adapter) Addrs() []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, addr := range a.h.SelfAddresses() {
		if m := addr.Multiaddr(); !ma.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

func (a *adapter) Network() network.Network         { return a.conns }
func (a *adapter) Mux() protocol.Switch             { return a.mux }
func (a *adapter) ConnManager() connmgr.ConnManager { return a.manager }
func (a *adapter) EventBus() event.Bus              { return a.bus }

// Connect dials a peer that is not connected, at the addresses that it brings and those of the peerstore. It returns
// when the peer has been identified and notifiees have been told.
func (a *adapter) Connect(ctx context.Context, pi peer.AddrInfo) error {
	a.store.AddAddrs(pi.ID, pi.Addrs, peerstore.TempAddrTTL)
	if _, err := a.conns.DialPeer(ctx, pi.ID); err != nil {
		return fmt.Errorf("failed to dial: %w", err)
	}
	return nil
}

func (a *adapter) SetStreamHandler(pid protocol.ID, handler network.StreamHandler) {
	a.mux.set(pid, nil, func(_ protocol.ID, s network.Stream) { handler(s) })
}

func (a *adapter) SetStreamHandlerMatch(pid protocol.ID, match func(protocol.ID) bool,
	handler network.StreamHandler) {
	a.mux.set(pid, match, func(_ protocol.ID, s network.Stream) { handler(s) })
}

func (a *adapter) RemoveStreamHandler(pid protocol.ID) { a.mux.RemoveHandler(pid) }

// newStreamTimeout bounds NewStream where its context has no deadline, as go-libp2p does.
const newStreamTimeout = 15 * time.Second

// NewStream opens a stream, to a peer that it dials if it is not connected. If the peerstore knows that the peer speaks
// one of the protocols, nothing is waited for: the protocol goes out with the first bytes. Otherwise NewStream waits
// for the peer's choice.
func (a *adapter) NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, newStreamTimeout)
		defer cancel()
	}
	c, err := a.conns.connect(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(pids) == 0 || len(pids) == 1 && pids[0] == "" {
		return c.NewStream(ctx)
	}
	s, err := c.open(ctx, pids)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends all connections and goroutines of the adapter. Of NewHost's hosts it ends everything.
func (a *adapter) Close() error {
	a.mu.Lock()
	again := a.closing
	a.closing = true
	a.mu.Unlock()
	if again {
		<-a.over
		return a.closeErr
	}
	defer close(a.over)
	a.conns.closeAll()
	for _, pid := range a.mux.Protocols() {
		a.mux.RemoveHandler(pid)
	}
	if a.below != nil {
		a.closeErr = a.below()
	}
	a.cancel()
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.wg.Wait()
	a.events.close()
	a.closeErr = errors.Join(a.closeErr, a.manager.Close(), a.resources.Close())
	if a.ownStore {
		a.closeErr = errors.Join(a.closeErr, a.store.Close())
	}
	return a.closeErr
}
