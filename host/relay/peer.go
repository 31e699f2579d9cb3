package relay

// peer is a peer's part of the machine. It dies with the peering.
type peer struct {
	num       uint64
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
	line     []*want    // that wait for room, in order
	wantsRun bool       // room has come free: see refillLater

	// What it is to be sent.
	asks      []*request // to be requested
	answers   []ID       // requested by the peer, in order
	pushes    []*item
	offers    []*item // to be announced
	congested bool    // its send queue was full; room says when that is over
	dirty     bool    // in machine.dirty
	rode      bool    // something was sent in this round: announcements go along
	releaseAt int64   // when announcements are gathered no longer, Unix nanoseconds; 0: they are not gathered
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
	if len(p.offers) >= maxOffers { // it is slow, and hears of it from others, or when it comes up again
		p.offers = p.offers[1:]
		m.stats.OffersLost++
	}
	p.offers = append(p.offers, it)
	m.touch(p)
}

// begin is to be called before nextPeer: it decides what is asked of whom.
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
