// Package memory is a network in memory: transports that reach each other within one process, with latency, jitter,
// bandwidth, loss, and cuts that heal. It is for tests, simulations and demos; without conditions it is also a fast
// transport between the nodes of one process.
//
// Connections own no goroutine, and wait on nothing but sync.Cond, channels and timers, so networks work under
// testing/synctest: there, latency costs no real time. A network that is used inside a bubble may have been made
// outside of it; connections, listeners and dials belong to the bubble that made them.
package memory

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Config sets a Network up. The zero Config is a network without delay or loss.
type Config struct {
	// Seed makes jitter and loss repeatable: with the same seed, the n-th connection between two transports meets the
	// same fate.
	Seed uint64
	// Conditions hold between all transports, until SetConditions changes them.
	Conditions Conditions
	// Buffer is how many bytes one direction of a connection holds, in flight or unread; further writes wait. It bounds
	// throughput to Buffer a latency, as a window does. 0 means 256 KiB.
	Buffer int
	// Backlog is how many connections wait to be accepted at a listener; further dials wait. 0 means 128.
	Backlog int
}

func (c Config) withDefaults() Config {
	if c.Buffer <= 0 {
		c.Buffer = 256 << 10
	}
	if c.Backlog <= 0 {
		c.Backlog = 128
	}
	c.Conditions = c.Conditions.clamped()
	return c
}

// Network joins transports. All methods may be called concurrently. A change of conditions takes effect on what is
// written from then on, also on open connections.
type Network struct {
	cfg Config

	mu         sync.Mutex // guards all below; taken before the lock of a half, never after it
	conditions Conditions
	paths      map[path]Conditions // overrides conditions, one direction each
	groups     map[*Transport]int  // while the network is cut; absent means group 0
	cutMode    CutMode             // while groups is not nil
	changed    chan struct{}       // closed at the next change; nil while no goroutine waits for one
	hosts      map[netip.Addr]*Transport
	names      map[string][]netip.Addr
	listeners  map[endpoint]*Listener
	links      map[*link]struct{}
	dials      map[path]uint64 // connections so far, for their seeds
	transports uint64          // made so far
	nextNumber uint64          // where to look for a free memory number
	nextDialer uint64          // memory number of the next dialing end
}

// path is one direction between two transports.
type path struct{ from, to *Transport }

// NewNetwork makes a network without transports.
func NewNetwork(cfg Config) *Network {
	cfg = cfg.withDefaults()
	return &Network{
		cfg:        cfg,
		conditions: cfg.Conditions,
		paths:      make(map[path]Conditions),
		hosts:      make(map[netip.Addr]*Transport),
		names:      make(map[string][]netip.Addr),
		listeners:  make(map[endpoint]*Listener),
		links:      make(map[*link]struct{}),
		dials:      make(map[path]uint64),
		nextNumber: 1,
		nextDialer: 1 << 32,
	}
}

// SetConditions sets the conditions between all transports that have none of their own.
func (n *Network) SetConditions(c Conditions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conditions = c.clamped()
	n.applyLocked()
}

// SetPair sets the conditions between two transports, in both directions.
func (n *Network) SetPair(a, b *Transport, c Conditions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paths[path{a, b}], n.paths[path{b, a}] = c.clamped(), c.clamped()
	n.applyLocked()
}

// SetPath sets the conditions from one transport to another, in this direction only.
func (n *Network) SetPath(from, to *Transport, c Conditions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paths[path{from, to}] = c.clamped()
	n.applyLocked()
}

// ClearPair lets the conditions of SetConditions hold again between two transports.
func (n *Network) ClearPair(a, b *Transport) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.paths, path{a, b})
	delete(n.paths, path{b, a})
	n.applyLocked()
}

// CutMode is what a cut does to the connections and dials that cross it.
type CutMode uint8

const (
	// Stall holds everything up, like a pulled cable: nothing arrives, no end is notified, dials hang until their
	// context ends. After Heal all of it goes on.
	Stall CutMode = iota
	// Reset breaks connections at once (ECONNRESET on both ends) and refuses dials (ENETUNREACH).
	Reset
)

// Cut cuts the network between the groups. The transports that are in no group are one more group, so that Cut(mode,
// []*Transport{a}) isolates a. A new Cut replaces the one before.
func (n *Network) Cut(mode CutMode, groups ...[]*Transport) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.groups, n.cutMode = make(map[*Transport]int), mode
	for i, group := range groups {
		for _, t := range group {
			n.groups[t] = i + 1
		}
	}
	n.applyLocked()
	if mode == Reset {
		for l := range n.links {
			if n.groups[l.hosts[0]] != n.groups[l.hosts[1]] {
				n.resetLocked(l)
			}
		}
	}
}

// Heal ends the cut.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.groups = nil
	n.applyLocked()
}

// ResetBetween breaks all connections between two transports, once: both ends see ECONNRESET.
func (n *Network) ResetBetween(a, b *Transport) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.links {
		if l.hosts == [2]*Transport{a, b} || l.hosts == [2]*Transport{b, a} {
			n.resetLocked(l)
		}
	}
}

// AddName lets transports dial /dns/NAME/tcp/PORT (dns4 and dns6 likewise). name is in lower case, as in an Address.
func (n *Network) AddName(name string, ips ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = slices.Clone(ips)
}

// Connections returns how many connections are open at one end at least.
func (n *Network) Connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.links)
}

// passage is the present state of one direction of a path.
type passage struct {
	Conditions
	refuses bool // Down by a cut of mode Reset
}

func (n *Network) passageLocked(from, to *Transport) passage {
	if from == to { // its own loopback
		return passage{}
	}
	c, ok := n.paths[path{from, to}]
	if !ok {
		c = n.conditions
	}
	p := passage{Conditions: c}
	if n.groups != nil && n.groups[from] != n.groups[to] {
		p.Down, p.refuses = true, n.cutMode == Reset
	}
	return p
}

// applyLocked sets the present conditions of every connection, and wakes the dials that hang.
func (n *Network) applyLocked() {
	for l := range n.links {
		for side := range l.halves {
			p := n.passageLocked(l.hosts[side], l.hosts[1-side])
			l.halves[side].setConditions(p.Conditions)
		}
	}
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

// changeLocked is closed at the next change. It is made here, so that it belongs to the bubble of the goroutine that
// waits.
func (n *Network) changeLocked() <-chan struct{} {
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.changed
}

func (n *Network) resetLocked(l *link) {
	l.halves[0].reset()
	l.halves[1].reset()
	delete(n.links, l)
}

func (n *Network) forget(l *link) {
	n.mu.Lock()
	delete(n.links, l)
	n.mu.Unlock()
}

// HostConfig sets a Transport up.
type HostConfig struct {
	// IP makes the transport present itself with this address: it listens on and dials /ip4|ip6/IP/tcp/PORT, so that
	// rules about IP addresses can be tested. The zero Addr leaves it with /memory addresses only.
	IP netip.Addr
}

// NewTransport adds a transport, which stands for one machine of the network. It panics when another one has the same
// IP: that is a mistake in the program.
func (n *Network) NewTransport(cfg HostConfig) *Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &Transport{net: n, ip: cfg.IP.Unmap(), nextPort: 49152}
	n.transports++
	t.number = n.transports
	if t.ip.IsValid() {
		if n.hosts[t.ip] != nil {
			panic("memory: two transports with IP " + t.ip.String())
		}
		n.hosts[t.ip] = t
	}
	return t
}

var _ transport.Transport = (*Transport)(nil)

// retransmit is how long a lost packet is missed, at least: the least retransmission timeout of common TCP stacks.
const retransmit = 200 * time.Millisecond
