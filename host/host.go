// Package host keeps a node connected. The peer manager (package peers) decides whom to dial, accept, keep and evict;
// the router (router.go, lifecycle.go) carries that out. Services exchange whole messages over a Channel, and open and
// serve streams. The package knows the contracts of transports, wires and stores, never a plug-in.
package host

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config is what a host needs. Network, Identity, Store, a transport and a wire are required.
type Config struct {
	Network  string // a node of another network is refused
	Moniker  string // non-empty ASCII; "" means "switchyard"
	Version  string // of the software, told to peers; "" means "switchyard"
	Identity handshake.Identity
	Store    peerstore.Store // the host uses it; its Run and Close are the caller's

	// Info fills in and changes our node info before each handshake: the versions, TxIndex, RPCAddress, Moniker,
	// Version, Height, Listen. What identifies us stays as it is: ID, PeerID, Network, Channels, Protocols, Wires,
	// Guest. It is called concurrently, and must not block. New calls it first, and fails if the result is not valid
	// (see handshake.NodeInfo.Validate); a handshake with one that is not valid fails. nil changes nothing.
	Info func(*handshake.NodeInfo)

	Transports []transport.Transport // in order of preference
	Wires      []handshake.Wire      // in order of preference
	Gates      []handshake.Gate      // application filters, after the host's own

	// Allow are the only ids, IPs and networks that are dialed and accepted; empty allows all.
	Allow []peerstore.Target
	// AllowGuests are the only guests (see handshake.NodeInfo.Guest) that are linked, whichever end dials; empty links
	// any, within Peers.Guests. The list holds for trusted guests too.
	AllowGuests []transport.NodeID

	Listen   []ma.Multiaddr // where to listen; empty only dials
	External []ma.Multiaddr // what to advertise instead of the listen addresses
	// Observers is how many network groups must agree on where they see us before that is advertised, too; 0 means 3,
	// less than that never. See Reach.
	Observers int

	// MoveTo says to which addresses links to other Switchyard nodes move from comet, once both ends can: see ToQUIC.
	// nil leaves links where they are.
	MoveTo func(transport.Address) bool

	Peers     peers.Config
	Handshake HandshakeConfig
	Limits    Limits
	Logger    *slog.Logger // nil discards
	// Metrics take the host's collector until the end of Run; nil keeps none. Hosts that share a registry need a label
	// each: prometheus.WrapRegistererWith(prometheus.Labels{"node": name}, registry).
	Metrics prometheus.Registerer
}

// Host is a node's connections, channels and streams. New builds and validates, Run works. All methods may be called
// concurrently.
type Host struct {
	// Reach is what the host learns of the addresses at which others reach it.
	Reach Reach

	cfg       Config
	log       *slog.Logger
	key       handshake.PublicKey
	self      transport.NodeID
	peerID    string // our own, as libp2p writes it
	peers     *peers.Manager
	router    router
	links     linkTable
	visits    visits
	joins     joins
	record    ownRecord
	journal   Journal
	outcomes  outcomes
	moves     moves
	memory    memory
	streams   streamTable
	tasks     tasks
	pauses    atomic.Uint64
	totals    totals
	times     times
	collector *collector
	names     names
	allow     atomic.Pointer[allowed] // Reconfigure replaces it
	// resolver finds the IPs of our own names; nil means the system's
	resolver transport.Resolver

	mu        sync.Mutex // guards the fields below until Run; they do not change afterwards
	running   bool
	channels  []*Channel      // in the order of their opening
	descs     []muxer.Channel // theirs
	hooks     []func(*Peering)
	byID      [256]*Channel
	listeners []transport.Listener

	listening chan struct{}                   // closed once every listener is bound, or Run has failed
	listenErr error                           // why it has; set before listening is closed
	runCtx    atomic.Pointer[context.Context] // the context of Run, for Dial
}

// New checks cfg and builds a host; it listens and dials only in Run. It asks the identity for its public key, which is
// what ctx is for.
func New(ctx context.Context, cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	key, err := cfg.Identity.PublicKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	h := &Host{cfg: cfg, log: cfg.Logger, key: key, self: key.NodeID(), peerID: key.PeerID(),
		listening: make(chan struct{}), tasks: tasks{stopped: make(chan struct{})}}
	h.router.host, h.Reach.host = h, h
	allow, err := newAllowed(cfg.Allow)
	if err != nil {
		return nil, fmt.Errorf("peers.allow_networks: %w", err)
	}
	allow.guests = cfg.AllowGuests
	h.allow.Store(&allow)
	h.streams.limits.Store(&cfg.Limits)
	h.times = newTimes(cfg.Wires)
	h.memory.init(h)
	h.record.init(cfg.Wires)
	cfg.Peers.Dials = cfg.Limits.Dials
	if cfg.Peers.Rank == nil {
		cfg.Peers.Rank = cfg.rank
	}
	if h.peers, err = peers.New(h.self, cfg.Peers, cfg.Store); err != nil {
		return nil, err
	}
	h.router.upgrader, err = handshake.NewUpgrader(handshake.Config{
		Self: h.self, Wires: cfg.Wires, Inspect: h.inspect,
		Staged: func(addr transport.Address, stage string) {
			h.journal.mu.Lock()
			defer h.journal.mu.Unlock()
			for d := range h.journal.dialing {
				if d.addr == addr {
					d.Stage = stage
				}
			}
		},
		Local:    func(c transport.Conn) handshake.NodeInfo { return h.infoFor(c.LocalMultiaddr(), c.RemoteIP()) },
		Channels: func() []muxer.Channel { return h.descs },
		Gates:    append([]handshake.Gate{h.gate}, cfg.Gates...), Timeout: cfg.Handshake.Timeout,
		Limits: cfg.Handshake.Limits, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	if cfg.Info != nil {
		if info := h.infoFor(nil, netip.Addr{}); info.Validate() != nil {
			return nil, fmt.Errorf("info: %w", info.Validate())
		}
	}
	if h.collector = (&collector{h: h, seen: map[linkKind]bool{}}); cfg.Metrics != nil {
		if err := cfg.Metrics.Register(h.collector); err != nil {
			return nil, metricsError(err)
		}
	}
	return h, nil
}

// CheckAddress returns why the host can never dial an address; nil if it may. Its error is a *transport.AddressError.
func (h *Host) CheckAddress(a transport.Address) error {
	return handshake.CheckAddress(a, h.cfg.Transports, h.cfg.Wires)
}

// OpenChannel opens a channel for a service. It fails with ErrStarted once Run was called, and for an id or a name that
// is taken.
func (h *Host) OpenChannel(desc muxer.Channel) (*Channel, error) {
	if err := desc.Validate(); err != nil {
		return nil, err
	}
	desc = desc.WithDefaults()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.running:
		return nil, ErrStarted
	case h.byID[desc.ID] != nil:
		return nil, fmt.Errorf("channel 0x%02x (%s) is already open as %s", desc.ID, desc.Name,
			h.byID[desc.ID].desc.Name)
	case h.streams.named(desc.Name):
		return nil, fmt.Errorf("channel 0x%02x: %s is the name of a stream protocol that has a handler", desc.ID,
			desc.Name)
	case len(h.channels) >= handshake.MaxChannels:
		return nil, fmt.Errorf("channel 0x%02x (%s): a node has at most %d channels", desc.ID, desc.Name,
			handshake.MaxChannels)
	}
	for _, c := range h.channels {
		if c.desc.Name == desc.Name {
			return nil, fmt.Errorf("channel 0x%02x: channel 0x%02x has the name %s already", desc.ID, c.desc.ID,
				desc.Name)
		}
	}
	c := &Channel{host: h, desc: desc, index: len(h.channels), wake: make(chan struct{}, 1)}
	h.channels = append(h.channels, c)
	h.descs = append(h.descs, desc)
	h.byID[desc.ID] = c
	return c, nil
}

// Run listens, dials, accepts and moves messages until ctx ends; it returns after all its goroutines have. It runs
// once.
func (h *Host) Run(ctx context.Context) error {
	h.mu.Lock()
	if h.running {
		h.mu.Unlock()
		return ErrStarted
	}
	h.running = true
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.peers.SetStack(h.stack())
	err := h.listen(ctx)
	if err == nil {
		h.record.start(ctx, h)
	}
	h.listenErr = err
	h.runCtx.Store(&ctx)
	close(h.listening)
	if err == nil {
		if h.cfg.Metrics != nil || h.log.Enabled(ctx, slog.LevelWarn) { // findings are a metric, too
			events := h.Events(ctx) // from the first one on
			r := newReporter(h)
			h.collector.health.Store(r.health)
			h.tasks.wg.Go(func() { r.run(ctx, events) })
		}
		for _, ln := range h.listeners {
			h.tasks.wg.Go(func() { h.router.acceptLoop(ctx, ln) })
		}
		h.tasks.wg.Go(func() { h.router.dialLoop(ctx) })
		h.tasks.wg.Go(func() { h.router.evictLoop(ctx) })
		h.tasks.wg.Go(func() { h.router.pulseLoop(ctx) })
		if len(h.cfg.External) > 0 {
			h.tasks.wg.Go(func() { h.names.run(ctx, h.cfg.External, h.resolver) })
		}
		<-ctx.Done()
	}
	h.tasks.stop()
	cancel()
	for _, ln := range h.listeners {
		_ = ln.Close()
	}
	h.links.all.Range(func(_, l any) bool { // all at once: each may take a moment to say goodbye
		h.tasks.wg.Go(func() {
			l.(*link).end(&DisconnectError{Code: muxer.CodeShuttingDown, Reason: "the node stops"})
		})
		return true
	})
	h.tasks.wg.Wait()
	for _, t := range h.cfg.Transports {
		_ = t.Close() // it keeps nothing that matters any more
	}
	h.journal.close()
	if h.cfg.Metrics != nil { // so that another host may follow
		h.cfg.Metrics.Unregister(h.collector)
	}
	return err
}

// listen binds every listen address, or none.
func (h *Host) listen(ctx context.Context) error {
	for _, m := range h.cfg.Listen {
		err := fmt.Errorf("listen on %s: %w", m, transport.ErrNoTransport)
		for _, t := range h.cfg.Transports {
			if !t.CanDial(m) {
				continue
			}
			var ln transport.Listener
			if ln, err = t.Listen(ctx, m, h.router.admitConn); err == nil {
				h.mu.Lock()
				h.listeners = append(h.listeners, ln)
				h.mu.Unlock()
				h.log.Info("listening", slog.String("address", ln.Addr().String()),
					slog.String("node_id", string(h.self)))
			}
			break
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// WaitListening waits until Run has bound every listen address. It returns why Run could not, or ctx's error. With a
// ctx that has ended it tells without waiting how things are.
func (h *Host) WaitListening(ctx context.Context) error {
	select {
	case <-h.listening:
		return h.listenErr
	default:
	}
	select {
	case <-h.listening:
		return h.listenErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ListenAddrs returns the addresses that are bound, with their real ports.
func (h *Host) ListenAddrs() []ma.Multiaddr {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]ma.Multiaddr, len(h.listeners))
	for i, ln := range h.listeners {
		out[i] = ln.Addr()
	}
	return out
}

// PeerManager returns the host's peer manager, to add addresses, ban, and see what is known of peers.
func (h *Host) PeerManager() *peers.Manager { return h.peers }

// Self returns our node id.
func (h *Host) Self() transport.NodeID { return h.self }

// PublicKey returns our key.
func (h *Host) PublicKey() handshake.PublicKey { return h.key }

// Network returns the name of our network.
func (h *Host) Network() string { return h.cfg.Network }

// Moniker returns our name for people.
func (h *Host) Moniker() string { return h.cfg.Moniker }

// Subscribe tells of peers that come and go, starting with those that are up, until ctx ends.
func (h *Host) Subscribe(ctx context.Context) *Subscription { return h.peers.Subscribe(ctx) }

// Advertise chooses up to limit addresses to tell the peer to.
func (h *Host) Advertise(to transport.NodeID, limit int) []transport.Address {
	return h.peers.Advertise(to, limit)
}

// Report records what a peer did, good or bad.
func (h *Host) Report(id transport.NodeID, b Behaviour) {
	if b.Severity >= Penalise {
		h.log.Debug("peer misbehaved", slog.String("peer", string(id)), slog.String("reason", b.Reason))
	}
	if ban, banned := h.peers.Report(id, b); banned {
		h.emit(eventOfBan(ban))
	}
}

// Disconnect ends the links to a peer, if there are any.
func (h *Host) Disconnect(id transport.NodeID, code muxer.Code, reason string) {
	h.peers.Disconnect(id, &DisconnectError{Code: code, Reason: reason})
}

// NeedsPeers reports whether more addresses would help.
func (h *Host) NeedsPeers() bool { return h.peers.NeedsPeers() }

// WaitDown waits until the links that a peer has now have ended, as after Disconnect. It returns ctx's error.
func (h *Host) WaitDown(ctx context.Context, id transport.NodeID) error {
	for _, v := range h.links.all.Range {
		if l := v.(*link); l.peer == id {
			if err := l.waitEnd(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tasks are the goroutines that Run waits for.
type tasks struct {
	wg      sync.WaitGroup
	stopped chan struct{} // closed when Run begins to stop
	mu      sync.RWMutex  // orders spawn with the beginning of the stop
}

// spawn starts a goroutine on behalf of a caller that Run does not wait for. It reports false once the host stops.
func (t *tasks) spawn(fn func()) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	select {
	case <-t.stopped:
		return false
	default:
		t.wg.Go(fn)
		return true
	}
}

func (t *tasks) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.stopped)
}
