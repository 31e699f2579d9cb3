package relay

import (
	"github.com/switchyard-p2p/switchyard/internal/relaypb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// peer is a peer's part of the machine. It dies with the peering.
type peer struct {
	num       uint64
	name      transport.NodeID
	outbound  bool
	frugal    bool  // a lone announcement costs a whole frame there: gather them for up to gatherTime
	checked   int64 // when the driver last looked whether frugal holds
	gone      bool
	inventory *inventory

	// Fetching.
	inFlight []*request // in the order of the requests
	busy     int        // len(inFlight) and the items that are being judged
	flying   int64      // bytes of both
	waiting  int        // announcements that wait
	owes     bool       // it has more to announce: we ask for that when few wait
	line     []*want    // that wait for room, in order
	wantsRun bool       // room has come free: see refillLater

	// What it is to be sent.
	asks      []*request // to be requested
	answers   []ID       // requested by the peer, in order
	pushes    []*item
	offers    []*item // to be announced
	scan      scan    // of our items, those that it may lack
	congested bool    // its send queue was full; room says when that is over
	dirty     bool    // in machine.dirty
	rode      bool    // something was sent in this round: announcements go along
	releaseAt int64   // when announcements are gathered no longer, Unix nanoseconds; 0: they are not gathered
}

// scan is a round through the items that we keep, to announce to a peer those that it is not known to have: when it
// comes up, when it was too slow to hear of all of them, and when it asks.
type scan struct {
	on        bool
	next, end uint64 // numbers of items in the shelf
	room      int    // items to announce until the peer asks for more
	began     int64  // the last round
	wanted    bool   // the peer asks for another round, which is not begun yet
	held      bool   // until rescanTime is over
}

// hasRoom reports whether a request for size bytes may be sent to the peer.
func (p *peer) hasRoom(size int64) bool {
	return !p.congested && !p.gone && p.busy < maxInFlight && (p.flying == 0 || p.flying+size <= maxFlying)
}

// touch lets next be called for a peer.
func (m *machine) touch(p *peer) {
	if !p.dirty && !p.gone {
		p.dirty = true
		m.dirty = append(m.dirty, p)
	}
}

// refillLater lets begin start what stands in line for a peer.
func (m *machine) refillLater(p *peer) {
	if len(p.line) > 0 && !p.wantsRun && !p.gone {
		p.wantsRun = true
		m.refills = append(m.refills, p)
	}
}

// offer lets an item be announced to a peer.
func (m *machine) offer(p *peer, it *item) {
	if len(p.offers) >= maxOffers { // it is slow: it hears of all that is still kept then
		p.offers = nil
		p.rescan(m)
		return
	}
	p.offers = append(p.offers, it)
	m.touch(p)
}

// rescan begins a round of offers.
func (p *peer) rescan(m *machine) {
	m.stats.Rescans++
	p.scan.on, p.scan.next, p.scan.end, p.scan.room = true, m.shelf.start, m.shelf.end(), offerChunk
	m.touch(p)
}

// moreWanted takes the word that the peer has room for more announcements.
func (m *machine) moreWanted(p *peer) {
	switch s := &p.scan; {
	case !s.on:
		s.wanted = true
	case s.room == 0:
		s.room = offerChunk
	default:
		return
	}
	m.touch(p)
}

// begin decides what is asked of whom. Call it before nextPeer.
func (m *machine) begin(now int64) {
	m.expire(now)
	m.startAll(now)
	for i := 0; i < len(m.refills); i++ { // one may bring others
		p := m.refills[i]
		m.refills[i] = nil
		p.wantsRun = false
		m.refill(p, now)
	}
	m.refills = m.refills[:0]
}

// nextPeer returns a peer for which next is to be called; nil for none.
func (m *machine) nextPeer() *peer {
	for len(m.dirty) > 0 {
		p := m.dirty[len(m.dirty)-1]
		m.dirty = m.dirty[:len(m.dirty)-1]
		p.dirty = false
		if !p.gone && !p.congested {
			return p
		}
	}
	return nil
}

// next returns the next message for a peer; nil for none. It counts as sent.
func (m *machine) next(p *peer, now int64) []byte {
	msg := p.nextRequest()
	if msg == nil && p.owes && p.waiting < fewWaiting {
		p.owes = false
		msg = relaypb.EncodeMore()
	}
	if msg == nil {
		msg = p.nextPush(m)
	}
	if msg == nil {
		msg = p.nextAnnouncement(m, now)
	}
	if msg == nil {
		msg = p.nextAnswer(m)
	}
	p.rode = msg != nil
	return msg
}

// full says that the peer's send queue takes no more, until room.
func (p *peer) full() { p.congested = true }

// room says that a peer's send queue takes messages again.
func (m *machine) room(p *peer) {
	p.congested = false
	p.rode = true // what was gathered meanwhile needs no more gathering
	m.refillLater(p)
	m.touch(p)
}
