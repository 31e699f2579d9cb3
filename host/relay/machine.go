package relay

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Limits of the protocol. Both ends must keep to them, so they are no settings.
const (
	maxPush      = 4 << 10  // bytes of an item that its publisher pushes
	maxInFlight  = 64       // requests that a peer has not answered
	maxFlying    = 1 << 20  // announced bytes of these; a single item may be larger
	maxInventory = 16 << 10 // ids that a peer is known to have
	maxWaiting   = 4 << 10  // announcements of a peer that wait
	maxAnnounced = 1 << 10  // ids of a message
)

// Own limits.
const (
	answerTime  = 2 * time.Second // for an answer, and a second more for each MiB that the peer owes us
	gatherTime  = 10 * time.Millisecond
	frameful    = 28                      // announcements that fill a SecretConnection frame: no use to gather more
	batchBytes  = 32 << 10                // of small items in one message
	maxSeen     = 128 << 10               // ids of items that we had
	maxRejected = 16 << 10                // ids of items that Validate has refused
	maxOffers   = maxWaiting              // announcements that wait for room in a peer's send queue
	fewWaiting  = maxWaiting / 4          // announcements of a peer below which there is room for more
	offerChunk  = maxWaiting - fewWaiting // items that are offered until the peer asks for more
	rescanTime  = time.Second             // between two rounds of offers to a peer that asks for them
)

// machine is the protocol. It has no goroutine, no clock and no lock: its owner passes in what happens and when, sends
// what next returns, and does what effects say. It is deterministic but for its two sources of chance.
type machine struct {
	maxItem   int  // bytes
	validates bool // items are judged before they are accepted

	seed maphash.Seed // of the keys of inventories
	rand *rand.Rand   // chooses among announcers

	peers map[uint64]*peer
	order []*peer // in the order in which they came up

	wants    map[ID]*want
	idle     []*want // to be started at the next begin
	shelf    shelf
	seen     *inventory
	rejected *inventory
	unjudged int64 // bytes of bodies that wait for a verdict

	timers timers
	held   holds   // of peers that wait before they announce
	dirty  []*peer // that may have something to send

	refills []*peer // with peer.wantsRun

	announcement, push sharedMessage

	effects, spare []effect

	stats Stats
}

// hold is when a peer's announcements wait no longer: gathered ones, or another round of offers.
type hold struct {
	peer *peer
	at   int64
}

// holds are in the order of their ends.
type holds []hold

func (h *holds) add(p *peer, at int64) {
	*h = append(*h, hold{p, at})
	for i := len(*h) - 1; i > 0 && (*h)[i-1].at > at; i-- {
		(*h)[i-1], (*h)[i] = (*h)[i], (*h)[i-1]
	}
}

// sharedMessage is the last message that was made of a list of items: it serves all peers that get the same list.
type sharedMessage struct {
	items []*item
	msg   []byte
}

func (s *sharedMessage) of(items []*item, encode func([]*item) []byte) []byte {
	if s.msg == nil || !slices.Equal(s.items, items) {
		s.items, s.msg = append(s.items[:0], items...), encode(items)
	}
	return s.msg
}

// effect is something that the machine's owner is to do.
type effect struct {
	kind effectKind
	from transport.NodeID // of deliver, judge and report; "": we published the item
	item *item            // of deliver and fetched
	id   ID               // of judge
	body []byte           // of judge
	deed host.Behaviour   // of report
}

type effectKind uint8

const (
	deliver effectKind = iota // to the subscribers
	judge                     // run Validate, then call judged
	report                    // deed of from
	fetched                   // item's body went to a peer for the first time
)

func newMachine(cfg Config, seed maphash.Seed, chance *rand.Rand) *machine {
	return &machine{
		maxItem: cfg.MaxItem, validates: cfg.Validate != nil, seed: seed, rand: chance,
		peers: map[uint64]*peer{}, wants: map[ID]*want{},
		shelf: shelf{most: maxInventory, mostSize: cfg.Keep, items: map[uint64]*item{}},
		seen:  newInventory(maxSeen), rejected: newInventory(maxRejected),
	}
}

func (m *machine) key(id ID) uint64 { return maphash.Comparable(m.seed, id) }

// peerUp adds a peer. It is offered the items that we have: it may have forgotten them, or never have got them.
func (m *machine) peerUp(num uint64, name transport.NodeID, outbound, frugal bool) {
	p := &peer{num: num, name: name, outbound: outbound, frugal: frugal, inventory: newInventory(maxInventory)}
	m.peers[num] = p
	m.order = append(m.order, p)
	p.rescan(m)
}

// peerDown removes a peer: what was asked of it is asked of others.
func (m *machine) peerDown(num uint64) {
	p := m.peers[num]
	if p == nil {
		return
	}
	p.gone = true
	delete(m.peers, num)
	m.order = slices.DeleteFunc(m.order, func(other *peer) bool { return other == p })
	for _, r := range p.inFlight {
		m.timers.remove(r)
		m.failed(r)
	}
	for _, w := range p.line {
		if w.state == wantIdle {
			m.retry(w)
		}
	}
	p.inFlight, p.line, p.asks, p.answers, p.offers, p.pushes = nil, nil, nil, nil, nil, nil
}

// announced takes an announcement. With more, the peer has more to announce when we have room.
func (m *machine) announced(p *peer, ids []ID, sizes []uint32, more bool) {
	p.owes = p.owes || more
	m.stats.Announced += uint64(len(ids))
	for i, id := range ids {
		if int(sizes[i]) > m.maxItem {
			m.misdeed(p, host.Disconnect, "it announced an item above the topic's max_item")
			return
		}
		key := m.key(id)
		p.inventory.mark(key, heard)
		if m.finished(key) {
			continue
		}
		w := m.wants[id]
		if w != nil && w.announcedBy(p) {
			continue
		}
		if p.waiting >= maxWaiting {
			m.stats.Cut++
			p.owes = true // it can announce them again
			continue
		}
		if w == nil {
			w = m.newWant(id, key)
		}
		w.sources = append(w.sources, source{peer: p, size: sizes[i]})
		p.waiting++
		if w.state == wantIdle {
			m.list(w)
		}
	}
	if p.owes && p.waiting < fewWaiting {
		m.touch(p)
	}
}

// finished reports whether an item needs no fetching: we had it, or it is refused.
func (m *machine) finished(key uint64) bool { return m.seen.get(key) != 0 || m.rejected.get(key) != 0 }

// requested takes requests, which are answered in their order.
func (m *machine) requested(p *peer, ids []ID) {
	if len(p.answers)+len(ids) > maxInFlight {
		m.misdeed(p, host.Disconnect, "it has more requests in flight than the protocol allows")
		return
	}
	p.answers = append(p.answers, ids...)
	m.touch(p)
}

// accept takes an item, from a peer or (from "") our own.
func (m *machine) accept(id ID, key uint64, body, wire []byte, from transport.NodeID) *item {
	it := &item{id: id, key: key, body: body, wire: wire}
	m.shelf.add(it)
	m.seen.mark(key, known)
	m.effects = append(m.effects, effect{kind: deliver, item: it, from: from})
	m.stats.Delivered++
	return it
}

// publish takes an item of our own, and returns how many peers are to get it at once. The item is nil if we had it.
func (m *machine) publish(id ID, body []byte) (it *item, peers int) {
	key := m.key(id)
	if m.seen.get(key) != 0 {
		return nil, 0
	}
	m.stats.Published++
	it = m.accept(id, key, body, nil, "")
	it.own = true
	if w := m.wants[id]; w != nil {
		m.drop(w)
	}
	for _, p := range m.order {
		if p.inventory.get(key) != 0 {
			continue
		}
		if p.congested || len(body) > maxPush {
			m.offer(p, it)
		} else {
			p.pushes = append(p.pushes, it)
			m.touch(p)
		}
		if !p.congested {
			peers++
		}
	}
	return it, peers
}

// relay offers an item that came from a peer.
func (m *machine) relay(it *item) {
	for _, p := range m.order {
		if p.inventory.get(it.key) == 0 {
			m.offer(p, it)
		}
	}
}

// verdict is what Validate has decided.
type verdict uint8

const (
	accepted verdict = iota
	refused
	postponed // it failed for a reason that will pass
)

// judged takes the verdict about an item.
func (m *machine) judged(id ID, v verdict, why string) {
	w := m.wants[id]
	if w == nil || w.state != wantJudged { // published by ourselves meanwhile
		return
	}
	from := w.holder
	switch v {
	case accepted:
		m.relay(m.accept(w.id, w.key, w.body, w.wire, from.name))
	case refused:
		m.rejected.mark(w.key, known)
		m.stats.Rejected++
		m.misdeed(from, host.Penalise, "an item of it is not valid: "+why)
	case postponed:
		m.stats.Postponed++
	}
	m.drop(w)
}

// misdeed reports a peer.
func (m *machine) misdeed(p *peer, s host.Severity, why string) {
	m.stats.Misdeeds++
	m.effects = append(m.effects, effect{kind: report, from: p.name,
		deed: host.Behaviour{Points: -10, Severity: s, Reason: why}})
}

// takeEffects returns what is to be done, and forgets it. The slice is valid until the next call.
func (m *machine) takeEffects() []effect {
	e := m.effects
	clear(m.spare)
	m.effects, m.spare = m.spare[:0], e
	return e
}
