package peers

import (
	"maps"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// State is how far we are with a peer.
type State string

const (
	StateKnown   State = "known"   // neither linked nor being dialed
	StateDialing State = "dialing" // being dialed
	StateLinked  State = "linked"  // a link has passed its handshake but is not up yet
	StateUp      State = "up"
	StateLeaving State = "leaving" // its link is closing
)

// Status is what a Manager can tell of one peer.
type Status struct {
	ID            transport.NodeID
	State         State
	Inbound       bool
	LinkID        uint64    // 0 without a link
	Connected     time.Time // when the link came up
	Upgrade       bool      // it is linked or being dialed beyond full slots
	Trusted       bool
	Unconditional bool
	Private       bool
	Guest         bool // it is linked as a plain libp2p peer
	Score         int
	Misdeeds      int           // points of its misdeeds that are not forgotten yet
	Useful        int           // points that services gave this link
	Tag           int           // points that the program gave it: see Tag
	Latency       time.Duration // the round trip on its link; 0: unknown
	Height        uint64
	Failures      uint32    // dials in a row
	NotBefore     time.Time // no dial before this
	Quarantined   time.Time
	Reason        string // of the quarantine
	Addresses     int
}

// Status returns what is known of a peer; false for one that is not known.
func (m *Manager) Status(id transport.NodeID) (Status, bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, known := m.store.Get(id)
	st := Status{
		ID: id, State: StateKnown, Score: Score(&rec, now), Height: rec.Height, Addresses: len(rec.Addresses),
		Trusted: m.trusted[id], Unconditional: m.unconditional[id], Private: m.private[id], Failures: rec.Failures,
		NotBefore: rec.NotBefore, Quarantined: rec.Quarantined, Reason: rec.QuarantineReason,
	}
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
	l := p.inUse
	if l == nil {
		l = p.preferred
	}
	if l == nil {
		return st, true
	}
	st.LinkID, st.Inbound, st.Connected, st.Guest = l.id, l.inbound, l.ready, l.guest
	st.Tag = p.tag
	st.Useful, st.Latency, st.Upgrade = l.useful, l.latency, l.slot == slotUpgrade || l.slot == slotEntry
	switch {
	case l.state == closing:
		st.State = StateLeaving
	case l == p.inUse:
		st.State = StateUp
	default:
		st.State = StateLinked
	}
	return st, true
}

// Peers returns the peers whose link services can use, in order of node id.
func (m *Manager) Peers() []transport.NodeID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []transport.NodeID
	for _, p := range m.sorted() {
		if p.inUse != nil {
			out = append(out, p.id)
		}
	}
	return out
}

// Addresses returns the known addresses of a peer.
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
	Upgrades          int // beyond full budgets, in either direction, until a link has made room
	Trusted           int // trusted and unconditional peers, and links that an operator asked for
	Guests            int // plain libp2p peers, trusted ones apart
	DialedGuests      int // the same, of those that an operator or the program dialed
	Dialing           int // dials in flight, whatever their budget
}

// Counts returns the links and dials of now.
func (m *Manager) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := Counts{
		Inbound: m.linked[slotInbound], Outbound: m.linked[slotOutbound], Guests: m.linked[slotGuest],
		DialedGuests: m.linked[slotDialedGuest],
		Trusted:      m.linked[slotTrusted], Upgrades: m.linked[slotUpgrade] + m.linked[slotEntry],
	}
	for _, n := range m.dialing {
		c.Dialing += n
	}
	return c
}

// Tally counts what a Manager has done since its start, and names the budgets of links that hold now.
type Tally struct {
	MaxInbound, MaxOutbound, Guests, DialedGuests int

	FeelersWorked, FeelersFailed uint64 // short dials that tested an address
	// Evicted counts the links that it asked to end, by cause: "crowded", "upgrade", "churn", "found", "capacity", or
	// the code of the reason.
	Evicted map[string]uint64
}

// Tally returns what was done since the start.
func (m *Manager) Tally() Tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tally
	t.MaxInbound, t.MaxOutbound, t.Guests = m.cfg.MaxInbound, m.cfg.MaxOutbound, m.cfg.Guests
	t.DialedGuests = m.cfg.DialedGuests
	t.Evicted = maps.Clone(m.evictor.tally)
	return t
}

// wellKnown is how many peers per outbound slot we like to know, so that there is a choice when one goes.
const wellKnown = 4

// NeedsPeers reports whether more addresses would help: outbound slots are empty, or few peers are known.
func (m *Manager) NeedsPeers() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	most := m.cfg.MaxOutbound
	return most > 0 && (m.linked[slotOutbound] < most || m.store.Stats().Known < wellKnown*most)
}
