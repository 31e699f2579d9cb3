package peers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config are the peer manager's settings. A zero field means its default.
type Config struct {
	Persistent    []transport.Address // trusted: always redialed
	Unconditional []transport.NodeID  // no limit refuses them
	Private       []transport.NodeID  // never advertised

	MaxOutbound int // links that we dialed, trusted ones apart; 0 means 8, negative means none
	MaxInbound  int // links that dialed us, trusted and unconditional ones apart; 0 means 40, negative means none
	// MaxUpgrades (MaxConnectedUpgrade) are links beyond full slots, either way: probes of better peers, and peers that dial us and for which one of a more crowded
	// network group is to make room. 0 means 4, negative means none.
	MaxUpgrades int
	// OutboundPerGroup is how many outbound links one network group gets while there are peers of other groups to dial; 0 means 1, negative means any number.
	OutboundPerGroup int
	// Anchors are how many of the longest-lived outbound peers are dialed first after a restart; 0 means 2, negative means none.
	Anchors int
	// Feelers is about how long it takes from one short dial to the next while all outbound slots are full: they find out which addresses work. 0 means 2
	// minutes, negative means never.
	Feelers time.Duration
	// Churn is about how often an outbound peer that nothing protects gives its slot to another one while all are full, so that whoever has gathered our slots does
	// not keep them; 0 means 1 hour, negative means never.
	Churn time.Duration
	// Guests are how many plain libp2p peers, of no known network, may be linked, trusted and unconditional ones apart; 0 means 16, negative means none. They
	// take no other slot, are dialed only when an operator asks for it (or as persistent peers), and are never advertised.
	Guests int

	ConnectionsPerIP    int // links at once from one IP, loopback exempt; 0 means 8
	ConnectionsPerGroup int // links at once from one network group, loopback exempt; 0 means 32

	MinBackoff        time.Duration // after the first failure; 0 means 1 s
	MaxBackoff        time.Duration // 0 means 1 h
	MaxTrustedBackoff time.Duration // 0 means 1 min
	MaxRecentBackoff  time.Duration // of a peer that was connected within a day; 0 means 10 min
	Quarantine        time.Duration // of a wrong-network peer; 0 means 6 h
	// StableAfter is how long a link must live to count as a success; 0 means 10 s.
	StableAfter time.Duration

	// Rank says whether our stack can dial an address, and how much we like to: lower is better. nil: all alike.
	Rank func(transport.Address) (rank int, ok bool)

	// Seed is where random choices (jitter, eviction among equals) begin; 0 takes a random one. Tests set it.
	Seed uint64
}

// Dial is a decision to dial one peer.
type Dial struct {
	ID        transport.NodeID
	Addresses []transport.Address // those that are due, best first
	Upgrade   bool                // a probe beyond full slots
	Feeler    bool                // only to test an address: Dialed will record that it works and refuse the link
}

// Arrival tells the peer manager of a link that has passed its handshake.
type Arrival struct {
	ID     transport.NodeID
	Side   muxer.Side
	Dialed transport.Address // on the dialing side
	IP     netip.Addr        // of the remote; invalid where the transport has none
	// LinkID is the caller's name for the link, unique and not 0. It is what Disconnected and verdicts refer to.
	LinkID uint64
	// Guest says that the remote is a plain libp2p peer (see handshake.NodeInfo).
	Guest bool
	// Acked says that the wire ended with an accept from both ends (see handshake.Link).
	Acked bool
}

// Verdict is what becomes of a new link of a peer that may already have one.
type Verdict struct {
	// Standby says that another link of the peer is preferred for now. The new one is to be kept open, unused, until Disconnected is called for
	// the other one (which promotes this one: see Manager.Disconnected) or until the grace is over (then it is a duplicate).
	Standby bool
	// Replaces is the link that the new one takes the place of; 0 for none. That one becomes the standby.
	Replaces uint64
}

// Eviction is a decision to end a link.
type Eviction struct {
	ID     transport.NodeID
	LinkID uint64
	Reason *DisconnectError
}

// Behaviour is what a service reports of a peer.
type Behaviour struct {
	// Points are added to the peer's score (negative ones count against it), saturating. They never evict on their own.
	Points int
	// Severity of a misdeed; Log for a good deed.
	Severity Severity
	Reason   string
}

// Severity says what a reported misdeed leads to.
type Severity uint8

const (
	Log        Severity = iota // nothing but a debug line
	Penalise                   // the score goes down
	Disconnect                 // and the link ends
	Ban                        // and the peer is banned, for a day at first
)

// Manager decides whom to dial, accept, keep and evict. It opens no socket, owns no goroutine, and does no I/O and no callback under its
// lock; only DialNext and EvictNext wait. All methods may be called concurrently. What it knows of peers that are neither linked nor being
// dialed is in the store alone, and whom to dial next is derived from there at each call.
//
// The life of a link, as the router tells it:
//
//	DialNext or BeginDial -> DialFailed, or Dialed -> Ready and Graced -> Disconnected
//	Accepted -> Ready and Graced -> Disconnected
//
// An error from Dialed or Accepted is a refusal: it ends the dial and the link, and nothing else is called for them. That is how a feeler (Dial.Feeler) ends that has
// found its peer, too.
type Manager struct {
	self  transport.NodeID
	cfg   Config
	store peerstore.Store

	trusted, unconditional, private map[transport.NodeID]bool // fixed after New

	dialWake, evictWake waker
	groupKey            [16]byte // secret: see lotOf
	groups              *peerstore.Groups
	skip                func(transport.NodeID) bool // see query

	mu       sync.Mutex // guards everything below; the store's lock is taken under it, never the other way round
	rng      *rand.Rand
	peers    map[transport.NodeID]*peerState // those that are linked or being dialed
	spare    *peerState                      // one that is not in use: most dials fail, and make no other
	room     []peerstore.AddressRecord       // memory for those of who is looked at
	rejected rejects                         // of the search for a dial that goes on
	links    map[uint64]*linkState
	linked   [slotKinds]int // links that hold a slot
	dialing  [slotKinds]int // dials that have reserved one
	byIP     map[netip.Prefix]int
	byGroup  map[netip.Prefix]int
	claims   map[transport.NodeID]transport.NodeID // the victim of an upgrade -> who claims its slot
	evictQ   []uint64                              // links whose end was asked for, in order
	promises map[transport.NodeID]struct{}         // peers whose score may earn them an upgrade; at most maxPromises
	anchors  []transport.NodeID                    // those of the last run that were not tried yet in this one
	saved    []transport.NodeID                    // the anchors as the store has them
	feelerAt time.Time                             // when the next feeler is due
	churnAt  time.Time                             // when the next outbound peer is due to be exchanged
	churner  transport.NodeID                      // who is to take its place: one of the claims
	selves   []transport.Address                   // addresses that turned out to be ours; at most maxSelves
	guests   map[transport.NodeID]bool             // the trusted and unconditional peers that are guests; others are quarantined for it
	height   uint64                                // ours
	subs     map[*Subscription]struct{}
	tally    Tally
	offences offences
}

// Names of what the peer manager keeps in the store.
const (
	metaConfigured = "host/configured" // the ids whose flags came from the configuration, so that flags go when the configuration changes
	metaAnchors    = "host/anchors"    // the outbound peers
	metaGuests     = "host/guests"     // Manager.guests
	metaOffences   = "host/offences"   // Manager.offences
)

// maxSelves bounds the addresses that we remember to be ours.
const maxSelves = 64

// New makes a manager over store, which it uses until the end. It writes the configured peers into the store: persistent peers as trusted,
// due at once; and takes the flags from those that are not configured any more. The error names the setting that is wrong.
func New(self transport.NodeID, cfg Config, store peerstore.Store) (*Manager, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if self == "" || store == nil {
		return nil, errors.New("a peer manager needs its own node id and a peer store")
	}
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	m := &Manager{
		self: self, cfg: cfg, store: store, groups: store.Groups(),
		trusted: map[transport.NodeID]bool{}, unconditional: map[transport.NodeID]bool{}, private: map[transport.NodeID]bool{},
		dialWake: newWaker(), evictWake: newWaker(), rng: rand.New(rand.NewPCG(seed, 0)),
		peers: map[transport.NodeID]*peerState{}, links: map[uint64]*linkState{}, byIP: map[netip.Prefix]int{}, byGroup: map[netip.Prefix]int{},
		claims: map[transport.NodeID]transport.NodeID{}, promises: map[transport.NodeID]struct{}{}, subs: map[*Subscription]struct{}{},
		guests: map[transport.NodeID]bool{}, tally: Tally{Evicted: map[string]uint64{}}, offences: offences{},
	}
	m.skip = func(id transport.NodeID) bool { return m.rejected[id] || m.peers[id] != nil }
	for _, a := range cfg.Persistent {
		m.trusted[a.ID()] = true
	}
	for _, id := range cfg.Unconditional {
		m.unconditional[id] = true
	}
	for _, id := range cfg.Private {
		m.private[id] = true
	}
	key := m.rng.Uint64 // repeatable, for tests
	if cfg.Seed == 0 {
		key = rand.Uint64
	}
	binary.LittleEndian.PutUint64(m.groupKey[:], key())
	binary.LittleEndian.PutUint64(m.groupKey[8:], key())
	delete(m.trusted, self) // operators give one list to all their nodes
	m.configure(time.Now())
	m.recall()
	return m, nil
}

// withDefaults returns a checked copy in which every zero field has its default.
func (c Config) withDefaults() (Config, error) {
	for _, a := range c.Persistent {
		if a.ID() == "" {
			return c, fmt.Errorf("peers.persistent: %s names no node id, so there is no telling whom to expect there", a)
		}
	}
	if slices.Contains(c.Unconditional, "") {
		return c, errors.New("peers.unconditional: an empty node id")
	}
	if slices.Contains(c.Private, "") {
		return c, errors.New("peers.private: an empty node id")
	}
	counts := []struct {
		key       string
		n         *int
		otherwise int
	}{{"peers.max_outbound", &c.MaxOutbound, 8}, {"peers.max_inbound", &c.MaxInbound, 40}, {"peers.max_upgrades", &c.MaxUpgrades, 4}, {"peers.guests", &c.Guests, 16}, {"peers.anchors", &c.Anchors, 2},
		{"limits.connections_per_ip", &c.ConnectionsPerIP, 8}, {"limits.connections_per_group", &c.ConnectionsPerGroup, 32}}
	for _, f := range counts {
		switch {
		case *f.n == 0:
			*f.n = f.otherwise
		case *f.n < 0 && strings.HasPrefix(f.key, "limits."):
			return c, fmt.Errorf("%s: %d is not a number of connections", f.key, *f.n)
		case *f.n < 0:
			*f.n = 0
		}
	}
	if c.OutboundPerGroup == 0 {
		c.OutboundPerGroup = 1
	}
	if c.OutboundPerGroup < 0 {
		c.OutboundPerGroup = math.MaxInt
	}
	for _, f := range []struct {
		every     *time.Duration
		otherwise time.Duration
	}{{&c.Feelers, 2 * time.Minute}, {&c.Churn, time.Hour}} {
		if *f.every == 0 {
			*f.every = f.otherwise
		}
	}
	times := []struct {
		name      string
		d         *time.Duration
		otherwise time.Duration
	}{{"MinBackoff", &c.MinBackoff, time.Second}, {"MaxBackoff", &c.MaxBackoff, time.Hour}, {"MaxTrustedBackoff", &c.MaxTrustedBackoff, time.Minute},
		{"MaxRecentBackoff", &c.MaxRecentBackoff, 10 * time.Minute},
		{"Quarantine", &c.Quarantine, 6 * time.Hour}, {"StableAfter", &c.StableAfter, 10 * time.Second}}
	for _, f := range times {
		if *f.d < 0 {
			return c, fmt.Errorf("peers: %s of %s is negative", f.name, *f.d)
		}
		if *f.d == 0 {
			*f.d = f.otherwise
		}
	}
	if c.MaxBackoff < c.MinBackoff || c.MaxTrustedBackoff < c.MinBackoff {
		return c, fmt.Errorf("peers: MinBackoff of %s is above MaxBackoff (%s) or MaxTrustedBackoff (%s)", c.MinBackoff, c.MaxBackoff, c.MaxTrustedBackoff)
	}
	return c, nil
}

// configure brings the store's flags into line with the configuration.
func (m *Manager) configure(now time.Time) {
	known := map[transport.NodeID]bool{}
	for _, set := range []map[transport.NodeID]bool{m.trusted, m.unconditional, m.private} {
		for id := range set {
			known[id] = true
		}
	}
	for _, id := range splitIDs(m.store.Meta(metaConfigured)) {
		if !known[id] {
			m.store.Update(id, func(rec *peerstore.Record) { rec.Trusted, rec.Unconditional, rec.Private = false, false, false })
		}
	}
	ids := make([]transport.NodeID, 0, len(known))
	for id := range known {
		ids = append(ids, id)
		m.store.Ensure(id, now, func(rec *peerstore.Record) {
			rec.Trusted, rec.Unconditional, rec.Private = m.trusted[id], m.unconditional[id], m.private[id]
			if !rec.Trusted {
				return
			}
			var addrs []peerstore.AddressRecord // the configured ones first: if the store keeps only so many, they stay
			for _, a := range m.cfg.Persistent {
				if a.ID() == id {
					addrs = append(addrs, configured(rec, a, now))
				}
			}
			for _, a := range rec.Addresses {
				if !slices.Contains(m.cfg.Persistent, a.Address) {
					addrs = append(addrs, a)
				}
			}
			rec.Addresses = addrs
			rec.NotBefore, rec.Quarantined = time.Time{}, time.Time{}
		})
	}
	slices.Sort(ids)
	m.store.SetMeta(metaConfigured, joinIDs(ids))
}

// configured is a configured address with what is known of it, due at once.
func configured(rec *peerstore.Record, a transport.Address, now time.Time) peerstore.AddressRecord {
	ar := peerstore.AddressRecord{Address: a, FirstHeard: now}
	for _, old := range rec.Addresses {
		if old.Address == a {
			ar = old
		}
	}
	ar.Source, ar.LastHeard, ar.NotBefore = peerstore.Source{Kind: "config"}, now, time.Time{}
	return ar
}

// recall takes up what the last run left: the anchors, and the peers that have earned a good score.
func (m *Manager) recall() {
	m.saved = splitIDs(m.store.Meta(metaAnchors))
	m.anchors = slices.Clone(m.saved[:min(len(m.saved), m.cfg.Anchors)])
	for _, id := range splitIDs(m.store.Meta(metaGuests)) {
		m.guests[id] = m.exempt(id)
	}
	now := time.Now()
	m.offences = readOffences(m.store.Meta(metaOffences), now)
	m.feelerAt, m.churnAt = now.Add(m.about(m.cfg.Feelers)), now.Add(m.about(m.cfg.Churn))
	looked := 0
	m.store.Range(func(rec peerstore.Record) bool {
		if scoreAt(&rec, now) >= upgradeMargin {
			m.promises[rec.ID] = struct{}{}
		}
		looked++
		return looked < maxPromises
	})
}

func splitIDs(b []byte) []transport.NodeID {
	var out []transport.NodeID
	for line := range strings.Lines(string(b)) {
		if id, err := transport.ParseNodeID(strings.TrimSpace(line)); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// joinIDs writes one id a line, as many as a value in the store may hold.
func joinIDs(ids []transport.NodeID) []byte {
	const most = 60 << 10 // bytes; peerstore.Store.SetMeta takes 64 KiB
	var b []byte
	for _, id := range ids {
		if len(b)+len(id)+1 > most {
			break
		}
		b = append(append(b, id...), '\n')
	}
	return b
}

// Add learns an address from a source. It says whether that was new. Our own addresses and those without a node id are not learned.
func (m *Manager) Add(addr transport.Address, source peerstore.Source) bool {
	if !addr.HasID() || addr.Is(m.self) {
		return false
	}
	now := time.Now()
	if len(m.trusted) > 0 || source.Kind == peerstore.SourceConfig { // for whom the store itself does not ask
		if _, banned := m.store.Banned(addr.ID(), netip.Addr{}, now); banned {
			return false
		}
	}
	m.mu.Lock()
	ours := m.isSelf(addr)
	if p := m.peers[source.From]; p != nil && p.current != nil && !source.IP.IsValid() {
		source.IP = p.current.ip
	}
	m.mu.Unlock()
	if ours || !m.store.Add(addr, source, now) {
		return false
	}
	m.dialWake.wake()
	return true
}

// isSelf says that the address is known to lead to ourselves, whatever id it names; mu is held.
func (m *Manager) isSelf(addr transport.Address) bool {
	if len(m.selves) == 0 {
		return false
	}
	where := addr.Multiaddr()
	return slices.ContainsFunc(m.selves, func(a transport.Address) bool { return a == addr || a.Multiaddr().Equal(where) })
}

// Advertise chooses up to limit addresses to tell the peer to: verified ones first, none of private, quarantined or banned peers, or of guests. Of a peer that can be
// dialed over several wires or transports one address of each is among them, where it is as good as the first.
func (m *Manager) Advertise(to transport.NodeID, limit int) []transport.Address {
	guests := m.allGuests()
	return m.store.Advertise(limit, time.Now(), func(a transport.Address) bool {
		if a.Is(to) || a.Is(m.self) {
			return true
		}
		if len(m.private)+len(guests) == 0 { // as a rule
			return false
		}
		id := a.ID()
		return m.private[id] || guests[id]
	})
}

// SetHeight tells how far a peer has come, or, for our own id, how far we have. Unknown ids are ignored.
func (m *Manager) SetHeight(id transport.NodeID, height uint64) {
	if id != m.self {
		m.store.Update(id, func(rec *peerstore.Record) { rec.Height = height })
		return
	}
	m.mu.Lock()
	m.height = height
	m.mu.Unlock()
}

// Height is the last known height of a peer, or our own; 0 when it is not known.
func (m *Manager) Height(id transport.NodeID) uint64 {
	if id == m.self {
		return m.SelfHeight()
	}
	rec, _ := m.store.Get(id)
	return rec.Height
}

// SelfHeight is our own height, as SetHeight was told.
func (m *Manager) SelfHeight() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.height
}

// exempt says that no limit refuses the peer and nothing but an explicit request evicts it.
func (m *Manager) exempt(id transport.NodeID) bool { return m.trusted[id] || m.unconditional[id] }
