// Package peers decides whom a node dials, accepts, keeps and evicts. It opens no socket, owns no goroutine and does no
// I/O: package host carries its decisions out and tells it what came of them.
//
// What it knows of peers that are neither linked nor being dialed is in the peer store alone. Its parts, each with the
// state that it owns:
//
//	table      peers that are linked or being dialed, their links, and the slots that these hold
//	operator   the roles of peers: trusted, unconditional, private
//	admission  which links are taken, and which of two links of a peer is kept
//	dialer     whom to dial next: backoffs, network groups, anchors, feelers, upgrades, churn
//	evictor    which links make room for others
//	recorder   what dials and links come to, written into the store
//	offences   what peers have done, and bans for it
//	guests     named peers that are guests
package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Manager decides on peers. All methods may be called concurrently; only DialNext, EvictNext and Subscription.Next
// wait, and no callback runs under its lock. The life of a link, as the router tells it:
//
//	DialNext or BeginDial -> DialFailed, or Arrived -> Established -> Ready -> Disconnected
//	(a remote dials us)   -> Arrived -> Established -> Ready -> Disconnected
//
// An error from Arrived is a refusal: it ends the dial and the link, and nothing else is called for them. A
// feeler (Dial.Feeler) that finds its peer ends so, too. linkState has the states of a link, with a diagram.
//
// Its methods, by theme:
//
//	dialing    Add, DialNext, TryDialNext, BeginDial, DialFailed, WrongNetwork
//	links      CheckAccept, CheckID, CheckKey, Arrived, Established, Ready, SetLatency, Disconnected
//	eviction   EvictNext, TryEvictNext, Disconnect, Ban, Unban, Banned
//	operators  SetRole, SetStack, Quarantined, Clear
//	services   Subscribe, Report, Advertise, SetHeight, Height, NeedsPeers
//	views      Status, Down, Peers, Addresses, Kept, Counts, Tally, Check
type Manager struct {
	mu sync.Mutex // guards everything below; taken before the locks of the store and of subscriptions
	*table
	admission admission
	dialer    dialer
	evictor   evictor
	record    recorder
	offences  offences
	guests    guests
	subs      subscribers
	tally     Tally
	height    uint64 // ours
	selves    selves

	dialWake waker // something may be due to be dialed
}

// Dial is a decision to dial one peer. DialFailed or Arrived answers it.
type Dial struct {
	ID        transport.NodeID
	Addresses []transport.Address // those that are due, best first
	Sources   []string            // where each of them is from, as in peerstore.Source; may be fewer
	Upgrade   bool                // a probe beyond full slots
	Feeler    bool                // only to test an address: Arrived records that it works and refuses the link
	Replaces  uint64              // the LinkID of the link that the new one replaces, in a move; 0 for none
}

// Arrival describes a link that has passed its handshake.
type Arrival struct {
	ID       transport.NodeID
	Side     muxer.Side
	Dialed   transport.Address // on the dialing side
	IP       netip.Addr        // of the remote; invalid where the transport has none
	LinkID   uint64            // the caller's name for the link, unique and not 0
	Guest    bool              // the remote is a plain libp2p peer (see handshake.NodeInfo)
	Confirms bool              // both ends say whether they take the link (see handshake.Link.Confirm)
	// MoveTo are addresses to which the link moves once it is up, best first; empty for none.
	MoveTo []transport.Address
	// Replaces is the LinkID of the link that this one replaces, in a move; 0 for none, NoLink for one that has ended.
	Replaces uint64
}

// Eviction is a decision to end a link. Disconnected answers it.
type Eviction struct {
	ID     transport.NodeID
	LinkID uint64
	Reason *DisconnectError
}

// Behaviour is what a service reports of a peer.
type Behaviour struct {
	// Points are added to the peer's score, saturating; negative ones count against it. They never evict on their own.
	Points int
	// Severity of a misdeed; Log for a good deed.
	Severity Severity
	Reason   string
}

// Severity is what a reported misdeed leads to.
type Severity uint8

const (
	Log        Severity = iota // nothing but a debug line
	Penalise                   // the score goes down
	Disconnect                 // and the link ends
	Ban                        // and the peer is banned, for a day at first
)

// New returns a manager over store, which it uses until the end. It writes the configured peers into the store:
// persistent peers as trusted, due at once; and takes the flags from those that are no longer configured. Its error
// names the setting that is wrong.
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
	t := &table{
		self: self, cfg: cfg, store: store, groups: store.Groups(), rng: rand.New(rand.NewPCG(seed, 0)),
		operator: newOperator(&cfg, self), peers: map[transport.NodeID]*peer{}, links: map[uint64]*link{},
		byIP: map[netip.Prefix]int{}, byGroup: map[netip.Prefix]int{},
	}
	m := &Manager{table: t, subs: subscribers{}, dialWake: newWaker()}
	m.guests = guests{store: store, named: map[transport.NodeID]bool{}}
	m.record = recorder{table: t, selves: &m.selves, guests: &m.guests, quarantined: idSet{}}
	m.evictor = evictor{table: t, wake: newWaker(), tally: map[string]uint64{}}
	m.admission = admission{table: t, evictor: &m.evictor, record: &m.record}
	m.dialer = dialer{table: t, evictor: &m.evictor, selves: &m.selves, guests: &m.guests,
		promises: promises{store, map[transport.NodeID]struct{}{}}, pace: newPace(&cfg),
		moves: moves{map[*link]time.Time{}, map[transport.NodeID]failedMoves{}}}

	key := t.rng.Uint64 // repeatable, for tests
	if cfg.Seed == 0 {
		key = rand.Uint64
	}
	binary.LittleEndian.PutUint64(m.evictor.grounds.key[:], key())
	binary.LittleEndian.PutUint64(m.evictor.grounds.key[8:], key())
	now := time.Now()
	t.configure(now)
	store.Remove(self) // another node may have had our key before, and lists name us
	m.guests.recall(&t.operator)
	m.offences = readOffences(store.Meta(metaOffences), now)
	m.admission.offences = m.offences
	m.dialer.recall(now)
	return m, nil
}

// Add learns an address from a source. It returns nil if the address is known now. A refusal is a *DisconnectError: our
// own address, a banned peer, one without a node id, or no room for it in the store.
func (m *Manager) Add(addr transport.Address, source peerstore.Source) error {
	id := addr.ID()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case id == "":
		return &DisconnectError{Code: muxer.CodeWrongID, Reason: "the address names no node id"}
	case addr.Is(m.self) || m.selves.has(addr):
		return &DisconnectError{Code: muxer.CodeSelf, Reason: "that is our own address"}
	}
	now := time.Now()
	ip, _ := addr.IP()
	ban, banned := peerstore.Ban{}, false
	if m.trusted[id] || source.Configured() { // for these the store itself does not ask
		ban, banned = m.store.Banned(id, netip.Addr{}, now)
	}
	if p := m.peers[source.From]; p != nil && p.preferred != nil && !source.IP.IsValid() {
		source.IP = p.preferred.ip
	}
	if source.Configured() && m.record.quarantined[id] {
		m.record.liftQuarantine(id) // the operator names it, at each start
	}
	if !banned && m.store.Add(addr, source, now) {
		m.dialWake.wake()
		return nil
	}
	if !banned {
		ban, banned = m.store.Banned(id, ip, now)
	}
	if banned {
		return &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	if rec, _ := m.store.Get(id); addressOf(&rec, addr) == nil {
		return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: "peers.max_known",
			Reason: "the peer store has no room for it, or its source has used its share"}
	}
	return nil
}

// DialNext waits for a peer to dial, and takes a slot for it. It wakes up for events (a new address, a dial or a link
// that ended) and for the end of the next backoff, for which it holds one timer.
func (m *Manager) DialNext(ctx context.Context) (Dial, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Dial{}, err
		}
		now := time.Now()
		if d, ok := dialAt(m, now); ok {
			m.dialWake.wake() // there may be more, for another caller
			return d, nil
		}
		m.mu.Lock()
		at, ok := m.dialer.nextDue(now) // the same now: what becomes due between two would be missed
		m.mu.Unlock()
		var due <-chan time.Time
		if ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-m.dialWake:
		case <-due:
		case <-ctx.Done():
		}
	}
}

// TryDialNext is DialNext that does not wait.
func (m *Manager) TryDialNext() (Dial, bool) { return dialAt(m, time.Now()) }

func dialAt(m *Manager, now time.Time) (d Dial, ok bool) {
	rejected := rejects{}
	for again := true; again; {
		m.mu.Lock()
		d, ok, again = m.dialer.look(now, rejected)
		m.mu.Unlock()
	}
	return d, ok
}

// BeginDial takes a slot for a dial that an operator asks for, of addresses of one peer, whatever slots and backoffs
// say. DialFailed or Arrived answers it, like a dial from DialNext. Errors: *DisconnectError for a banned peer,
// ourselves, or a peer that has a link or is being dialed.
func (m *Manager) BeginDial(addrs ...transport.Address) error {
	now := time.Now()
	var id transport.NodeID
	var ban peerstore.Ban
	open := false // an address is not banned
	for _, addr := range addrs {
		id = addr.ID()
		ip, _ := addr.IP()
		if b, banned := m.store.Banned(id, ip, now); banned {
			ban = b
		} else {
			open = true
		}
	}
	switch {
	case id == "":
		return &DisconnectError{Code: muxer.CodeWrongID, Reason: "the address names no node id"}
	case id == m.self:
		return &DisconnectError{Code: muxer.CodeSelf, Reason: "that is our own node id"}
	case !open:
		return &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// under mu, so that DialNext does not choose it first
	for _, addr := range addrs {
		m.store.Add(addr, peerstore.Source{Kind: peerstore.SourceOperator}, now)
	}
	if p := m.peers[id]; p != nil {
		switch {
		case p.dial != nil:
			return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer is being dialed already"}
		case p.preferred != nil && p.preferred.state != closing:
			return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has a link already"}
		}
	}
	m.startDial(id, dial{slot: slotTrusted, requested: true})
	return nil
}

// DialFailed says that none of a dial's addresses led to a link, and why. The reason decides what follows: an address
// that does not answer backs off; a peer without room for us is no failure; one that has proven its key and is of
// another network is quarantined; an address that leads to ourselves is dropped and remembered. What happens before the
// peer's key is proven changes nothing but the address; that we have no network changes nothing. DialFailed ignores a
// peer that is not being dialed.
func (m *Manager) DialFailed(id transport.NodeID, failures []DialFailure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if p == nil || p.dial == nil {
		return
	}
	now, d := time.Now(), m.endDial(p)
	if d.slot == slotMove { // nobody is to blame: the peer has a link that works
		m.dialer.moveFailed(id, d.moves, now)
		m.tidy(p)
		m.dialWake.wake()
		return
	}
	m.dialer.pace.end(tookTooLong(failures))
	if d.slot == slotFeeler {
		if slices.ContainsFunc(failures, func(f DialFailure) bool { return answered(id, f.Err) }) {
			m.tally.FeelersWorked++
		} else {
			m.tally.FeelersFailed++
		}
	}
	if m.isOffline(failures) {
		m.dialer.pace.offline(id, now)
	} else {
		m.record.dialFailed(p, failures, !d.lost.IsZero(), now)
	}
	m.tidy(p)
	m.evictor.fillSlots()
	m.dialWake.wake()
}
