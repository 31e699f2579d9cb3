package peers

import (
	"maps"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// State says how far we are with a peer.
type State string

const (
	StateKnown   State = "known"   // neither linked nor being dialed
	StateDialing State = "dialing" // being dialed
	StateLinked  State = "linked"  // a link has passed its handshake but does not count as up yet
	StateUp      State = "up"
	StateLeaving State = "leaving" // its link is on the way out
)

// Status is what the peer manager can tell of one peer.
type Status struct {
	ID            transport.NodeID
	State         State
	Inbound       bool
	LinkID        uint64    // 0 without a link
	Connected     time.Time // when the link became ready
	Upgrade       bool      // it is linked or being dialed beyond full slots
	Trusted       bool
	Unconditional bool
	Private       bool
	Guest         bool // its link is one of a plain libp2p peer
	Score         int
	Misdeeds      int           // points of its misdeeds that are not forgotten yet
	Useful        int           // points that services gave this link
	Latency       time.Duration // the round trip on its link; 0: not known
	Height        uint64
	Failures      uint32    // dials in a row
	NotBefore     time.Time // no dial before this
	Quarantined   time.Time
	Reason        string // of the quarantine
	Addresses     int
}

// Status tells of a peer; false for one that is not known.
func (m *Manager) Status(id transport.NodeID) (Status, bool) {
	rec, known := m.store.Get(id)
	now := time.Now()
	st := Status{ID: id, State: StateKnown, Trusted: m.trusted[id], Unconditional: m.unconditional[id], Private: m.private[id],
		Score: scoreAt(&rec, now), Height: rec.Height, Failures: rec.Failures, NotBefore: rec.NotBefore, Quarantined: rec.Quarantined,
		Reason: rec.QuarantineReason, Addresses: len(rec.Addresses)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.offences[string(id)]; o != nil {
		st.Misdeeds, _ = decay(o.points, o.since, now)
	}
	p := m.peers[id]
	if p == nil {
		return st, known
	}
	if p.dial != nil {
		st.State, st.Upgrade = StateDialing, p.dial.slot == slotUpgrade
	}
	l := p.using
	if l == nil {
		l = p.current
	}
	if l != nil {
		st.LinkID, st.Inbound, st.Connected, st.Useful, st.Upgrade = l.id, l.inbound(), l.ready, l.useful, l.slot == slotUpgrade || l.slot == slotEntry
		st.Guest, st.Latency = l.guest, l.latency
		switch {
		case l.evict != nil:
			st.State = StateLeaving
		case l == p.using:
			st.State = StateUp
		default:
			st.State = StateLinked
		}
	}
	return st, true
}

// Peers are the peers whose link services can use, in order of node id.
func (m *Manager) Peers() []transport.NodeID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []transport.NodeID
	for _, p := range m.sortedPeers() {
		if p.using != nil {
			out = append(out, p.id)
		}
	}
	return out
}

// Addresses are the known addresses of a peer.
func (m *Manager) Addresses(id transport.NodeID) []transport.Address {
	rec, _ := m.store.Get(id)
	out := make([]transport.Address, len(rec.Addresses))
	for i, a := range rec.Addresses {
		out[i] = a.Address
	}
	return out
}

// Counts are the totals of the budgets. Links count from their handshake to their end.
type Counts struct {
	Inbound, Outbound int
	Upgrades          int // beyond full budgets, either way, until somebody has made room
	Trusted           int // trusted and unconditional peers, either way, and links that an operator asked for
	Guests            int // plain libp2p peers, trusted ones apart
	Dialing           int // dials in flight, whatever their budget
}

// Counts are the links and dials of now.
func (m *Manager) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := Counts{Inbound: m.linked[slotInbound], Outbound: m.linked[slotOutbound], Upgrades: m.linked[slotUpgrade] + m.linked[slotEntry], Trusted: m.linked[slotTrusted], Guests: m.linked[slotGuest]}
	for _, n := range m.dialing {
		c.Dialing += n
	}
	return c
}

// Tally counts what the peer manager has done since its start.
type Tally struct {
	FeelersWorked, FeelersFailed uint64            // short dials that tested an address
	Evicted                      map[string]uint64 // links that it asked to end, by cause: "crowded", "upgrade", "churn", "capacity", or the code of the reason
}

// Tally is what was done since the start.
func (m *Manager) Tally() Tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tally
	t.Evicted = maps.Clone(t.Evicted)
	return t
}

// wellKnown is how many peers per outbound slot we like to know of, so that there is a choice when one goes.
const wellKnown = 4

// NeedsPeers says whether more addresses would help: outbound slots are empty, or few peers are known.
func (m *Manager) NeedsPeers() bool {
	if m.cfg.MaxOutbound == 0 {
		return false
	}
	m.mu.Lock()
	up := m.linked[slotOutbound]
	m.mu.Unlock()
	return up < m.cfg.MaxOutbound || m.store.Stats().Known < wellKnown*m.cfg.MaxOutbound
}
