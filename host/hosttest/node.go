package hosttest

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Service is something that runs as long as its node does. It returns when ctx ends; an error before that fails the
// test.
type Service func(ctx context.Context) error

// Node is one node of a network. Key and Store outlive its restarts. Its methods are for the test's goroutine, unless
// they say otherwise.
type Node struct {
	Index int
	Name  string // "node 3"
	ID    transport.NodeID
	Key   *handshake.NodeKey
	Store peerstore.Store

	// Host is the present one: each start makes another.
	Host *host.Host
	// Channels are those of Options.Channels, in their order.
	Channels []*host.Channel

	// Faults let its transport fail; set them before Start.
	Faults Faults

	net    *Network
	ip     netip.Addr
	memory *memory.Transport
	cancel context.CancelFunc
	wg     sync.WaitGroup
	limits struct{ inbound, outbound int }
	proofs handshake.Security // of the libp2p wire, if it speaks that

	mu      sync.Mutex // guards what follows
	running bool
	crashed bool
	updates []Update
	first   int // in updates: of the present run
	events  []host.Event
	dials   []DialAttempt
	conns   map[*conn]struct{}
	letters map[byte][]host.Envelope

	asserted map[byte]int // how many of letters AssertReceives has judged
}

// Update is what a subscriber of a node was told, and when.
type Update struct {
	At time.Time
	host.PeerUpdate
}

func (u Update) String() string {
	if u.Status == host.PeerUp {
		return fmt.Sprintf("up, channels %x", u.Channels)
	}
	return fmt.Sprintf("down: %v", u.Reason)
}

// Start starts the node with a new host over its key and its store, and waits until it listens.
func (n *Node) Start() {
	t := n.net.t
	t.Helper()
	if n.Running() {
		t.Fatalf("%s runs already", n.Name)
	}
	if err := n.start(); err != nil {
		t.Fatalf("start %s: %v", n.Name, err)
	}
}

func (n *Node) start() error {
	o := &n.net.o
	wires, err := n.wires()
	if err != nil {
		return err
	}
	where, err := ma.NewMultiaddr(fmt.Sprintf("/ip4/%s/tcp/%d", n.ip, Port))
	if err != nil {
		return err
	}
	cfg := host.Config{
		Network: o.Network, Moniker: fmt.Sprintf("n%d", n.Index), Version: "hosttest", Identity: n.identity(),
		Store:      n.Store,
		Transports: []transport.Transport{&machine{n.memory, n}}, Wires: wires, Listen: []ma.Multiaddr{where},
		Logger: o.Logger.With(slog.String("node", n.Name)),
	}
	cfg.Peers.Seed = o.Seed<<16 + uint64(n.Index) + 1
	if o.Tune != nil {
		o.Tune(n, &cfg)
	}
	n.limits.inbound, n.limits.outbound = slots(cfg.Peers.MaxInbound, 40), slots(cfg.Peers.MaxOutbound, 8)
	ctx, cancel := context.WithCancel(context.Background())
	if n.Host, err = host.New(ctx, cfg); err != nil {
		cancel()
		return err
	}
	n.Channels = nil
	for _, desc := range o.Channels {
		ch, err := n.Host.OpenChannel(desc)
		if err != nil {
			cancel()
			return err
		}
		n.Channels = append(n.Channels, ch)
	}
	var services []Service
	if o.Services != nil {
		if services, err = o.Services(n); err != nil {
			cancel()
			return err
		}
	}
	if first := n.net.Nodes[0]; o.KnowFirst && first != n {
		n.Learn(first)
	}
	n.mu.Lock()
	n.running, n.crashed, n.cancel = true, false, cancel
	n.letters, n.asserted, n.first = map[byte][]host.Envelope{}, map[byte]int{}, len(n.updates)
	n.mu.Unlock()

	n.record(ctx)
	n.wg.Go(func() {
		if err := n.Host.Run(ctx); err != nil {
			n.net.t.Errorf("%s: Run: %v", n.Name, err)
		}
	})
	if s := n.proofs; s != nil && o.Identity != nil {
		n.wg.Go(func() { s.Keep(ctx, n.identity()) })
	}
	for _, s := range services {
		n.wg.Go(func() {
			if err := s(ctx); err != nil && ctx.Err() == nil {
				n.net.t.Errorf("%s: a service failed: %v", n.Name, err)
			}
		})
	}
	return n.Host.WaitListening(ctx)
}

// slots returns what a host makes of a number of slots in its configuration.
func slots(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return max(n, 0)
}

// record keeps what subscribers and watchers of the host are told.
func (n *Node) record(ctx context.Context) {
	sub := n.Host.Subscribe(ctx)
	n.wg.Go(func() {
		for {
			u, err := sub.Next(ctx)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.updates = append(n.updates, Update{time.Now(), u})
			n.mu.Unlock()
		}
	})
	events := n.Host.Events(context.Background()) // until Run returns
	n.wg.Go(func() {
		for e := range events {
			n.mu.Lock()
			n.events = append(n.events, e)
			n.mu.Unlock()
		}
	})
}

// Running reports whether the node was started and not stopped since. It may be called concurrently.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running
}

// Stop stops the node as an operator does, and waits until nothing of it is left. It may be called twice, and
// concurrently with other nodes' Stop.
func (n *Node) Stop() {
	if !n.Running() {
		return
	}
	n.cancel()
	n.wg.Wait()
	n.mu.Lock()
	n.running = false
	n.mu.Unlock()
}

// Crash stops the node as a power failure does: its peers hear nothing of it, their connections just stay silent.
func (n *Node) Crash() {
	n.mu.Lock()
	n.crashed = true
	n.mu.Unlock()
	n.Stop()
}

// Restart stops the node and starts it again, with its key and its store.
func (n *Node) Restart() {
	n.net.t.Helper()
	n.Stop()
	n.Start()
}

// Address returns where the node listens, with its id, over the wire that it likes best.
func (n *Node) Address() transport.Address { return n.AddressOver(n.Speaks()[0]) }

// AddressOver returns where the node listens, with its id in the form that asks for a wire, whether it speaks that or
// not.
func (n *Node) AddressOver(wire string) transport.Address {
	id := "/mconn/" + string(n.ID)
	if wire == transport.WireLibp2p {
		id = "/p2p/" + n.Key.Public().PeerID()
	}
	a, err := transport.ParseAddress(fmt.Sprintf("/ip4/%s/tcp/%d%s", n.ip, Port, id))
	if err != nil {
		panic(err) // the parts are ours
	}
	return a
}

// Network returns the network that the node belongs to.
func (n *Node) Network() *Network { return n.net }

// IP returns the node's IP address.
func (n *Node) IP() netip.Addr { return n.ip }

// Learn tells the node the addresses of others, over all wires that they speak, as its configuration would; it dials
// them when it has a slot.
func (n *Node) Learn(others ...*Node) {
	for _, o := range others {
		for _, wire := range o.Speaks() {
			n.Host.PeerManager().Add(o.AddressOver(wire), peerstore.Source{Kind: peerstore.SourceConfig})
		}
	}
}

// Found returns what a discovery source of the given kind tells its findings. It may be called concurrently.
func (n *Node) Found(kind string) func(transport.Address, transport.NodeID) {
	h := n.Host
	return func(a transport.Address, from transport.NodeID) {
		h.PeerManager().Add(a, peerstore.Source{Kind: kind, From: from})
	}
}

// Dial connects to another node now, and fails the test if that does not work.
func (n *Node) Dial(to *Node) {
	n.net.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), n.net.o.Patience)
	defer cancel()
	if _, err := n.Host.Dial(ctx, to.Address()); err != nil {
		n.net.t.Fatalf("%s dials %s: %v", n.Name, to.Name, err)
	}
}

// Peers returns the nodes that are up, in order of node id. Peers that are none of the network's nodes are left out. It
// may be called concurrently.
func (n *Node) Peers() []*Node {
	if !n.Running() {
		return nil
	}
	var out []*Node
	for _, id := range n.Host.PeerManager().Peers() {
		if o := n.net.node(id); o != nil {
			out = append(out, o)
		}
	}
	return out
}

// Has reports whether other is up. It may be called concurrently.
func (n *Node) Has(other *Node) bool { return slices.Contains(n.Peers(), other) }

// Updates returns what a subscriber of the node received about other, or about all peers if other is nil, over all its
// runs. It may be called concurrently.
func (n *Node) Updates(other *Node) []Update {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Update
	for _, u := range n.updates {
		if other == nil || u.ID == other.ID {
			out = append(out, u)
		}
	}
	return out
}

// Events returns all events of the node's runs, of one kind or (kind "") of all. It may be called concurrently.
func (n *Node) Events(kind host.EventKind) []host.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []host.Event
	for _, e := range n.events {
		if kind == "" || e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// Dials returns the dials that the node's transport was asked for, over all its runs. It may be called concurrently.
func (n *Node) Dials() []DialAttempt {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

// AddressOf returns the address of the i-th node of n's network: for Options.Tune.
func AddressOf(n *Node, i int) transport.Address { return n.net.Nodes[i].Address() }

// AddressIP returns the IP of the i-th node of n's network: for Options.Tune.
func AddressIP(n *Node, i int) netip.Addr { return n.net.Nodes[i].ip }

// Machine returns the memory transport of the node, without faults and records: for connections that the test makes
// itself, from or to the node's IP.
func (n *Node) Machine() *memory.Transport { return n.memory }
