package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// admission decides on links that have passed their handshake.
type admission struct {
	*table
	evictor *evictor
	record  *recorder
}

// admit decides on a link and takes it in. d is the dial that brought it, nil for an inbound link; its slot has been
// given back, its claim has not.
func (ad *admission) admit(a Arrival, l *link, d *dial, now time.Time) (Verdict, *DisconnectError) {
	switch {
	case a.ID == "" || a.LinkID == 0 || ad.links[a.LinkID] != nil:
		return Verdict{}, &DisconnectError{Code: muxer.CodeUnknown, Reason: "a link without a node id or an id of its own"}
	case a.ID == ad.self:
		return Verdict{}, &DisconnectError{Code: muxer.CodeSelf, Reason: "we reached ourselves"}
	}
	if ban, ok := ad.store.Banned(a.ID, a.IP, now); ok {
		return Verdict{}, &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	if requested := d != nil && d.requested; !requested && !ad.exempt(a.ID) {
		if refusal := ad.checkIP(a.IP); refusal != nil {
			return Verdict{}, refusal
		}
	}
	p := ad.peers[a.ID]
	if p != nil {
		if refusal := p.checkDuplicate(l, ad.self, now); refusal != nil {
			return Verdict{}, refusal
		}
	}
	if a.Guest && (p == nil || p.current == nil || p.current.guest) {
		ad.record.rememberGuest(a.ID, now)
	}
	s, bid, refusal := ad.slotFor(a, p, d, now)
	if refusal != nil {
		return Verdict{}, refusal
	}
	l.slot, l.bid = s, bid
	if s != slotUpgrade && d != nil && d.slot == slotUpgrade {
		ad.unclaim(a.ID)
	}
	l.peer = ad.peer(a.ID)
	ad.addLink(l)
	ad.store.Ensure(a.ID, now, func(rec *peerstore.Record) { rec.Busy = true })
	l.peer.busy = true
	return ad.choose(l, now), nil
}

// choose decides which of a peer's links both ends keep, now that l has joined them.
func (ad *admission) choose(l *link, now time.Time) Verdict {
	p := l.peer
	redialed := p.redialedBy(l.side, now)
	if p.current != nil && p.current.evict != nil { // a request ends all links of a peer, the standby too
		ad.leave(p.current)
		if p.standby != nil {
			ad.leave(p.standby)
		}
	}
	switch {
	case p.current == nil:
		p.current = l
		return Verdict{}
	case redialed, preferred(l, p.current, ad.self) == l:
		old := p.current
		if l.redial = redialed; redialed && old.slot == l.slot { // if the new one ends first, the old one gets it back
			ad.setSlot(old, slotNone)
		}
		p.current, p.standby = l, old
		return Verdict{Replaces: old.id}
	}
	p.standby = l
	return Verdict{Standby: true}
}

// preferred returns which of two links of a peer both ends keep: the one that the lower node id dialed. Of two that the
// same end dialed it is the older one.
func preferred(l, current *link, self transport.NodeID) *link {
	if l.side == current.side {
		return current
	}
	if (l.side == muxer.Dialer) == (self < current.peer.id) {
		return l
	}
	return current
}

// simultaneity is how long after a link's arrival another link of the peer may be the other half of a simultaneous dial,
// rather than a new attempt of a remote that has lost the first. A dial and its handshake take less, so both ends see
// both links within it.
const simultaneity = 15 * time.Second

// redialAfter is how old a link must be before another one that the same remote dials takes its place, on a wire where
// the ends do not agree on links. Until then it may be the other half of a simultaneous dial.
const redialAfter = 5 * time.Second

// settled reports whether the remote is known to have taken the link for its only one, so that another one is a
// duplicate.
func (l *link) settled(now time.Time) bool { return l.graced || now.Sub(l.arrived) >= simultaneity }

// redialedBy reports whether a new link from the peer takes the place of its settled one. The remote would not have
// dialed if it still had that: it has rebooted, or (CometBFT) lost track of it. The old link is kept until the new one
// has proven to be alive; then subscribers hear that the peer went down and came up.
func (p *peer) redialedBy(side muxer.Side, now time.Time) bool {
	c := p.current
	if side != muxer.Listener || c == nil || c.evict != nil || p.standby != nil || !c.settled(now) {
		return false
	}
	if c.acked { // the ends agree on links, so dials may take as long as they like
		return now.Sub(c.arrived) > simultaneity
	}
	return now.Sub(c.arrived) > redialAfter
}

// Replaced is why a link ends whose place another one takes.
func Replaced() *DisconnectError {
	return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "replaced by a newer link"}
}

// checkDuplicate refuses a new link that is one too many. While the remote may still decline the current one, none is.
//
// Which of two simultaneous dials both ends keep: where the ends tell each other whether they take a link, the lower node
// id decides. It takes the first link that comes and refuses the second. The higher one takes what it gets, so the two
// never take different ones, and no link is given up that was in use. On a wire without that (comet) both take both, and
// keep the preferred one.
func (p *peer) checkDuplicate(l *link, self transport.NodeID, now time.Time) *DisconnectError {
	c := p.current
	if c == nil || c.evict != nil || p.redialedBy(l.side, now) {
		return nil
	}
	if c.settled(now) || p.standby != nil || c.acked && l.acked && self < p.id {
		return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link"}
	}
	return nil
}

// slotFor chooses the budget of a new link, or refuses it with the limit that is reached. If an inbound budget is full
// and a link would make room for this one, that is slotEntry, and bid is the budget.
func (ad *admission) slotFor(a Arrival, p *peer, d *dial, now time.Time) (s, bid slot, refusal *DisconnectError) {
	switch {
	case ad.exempt(a.ID) || d != nil && d.requested:
		return slotTrusted, 0, nil
	case a.Side == muxer.Listener && a.Guest:
		s = slotGuest
	case a.Side == muxer.Listener:
		s = slotInbound
	case a.Guest:
		return slotNone, 0, &DisconnectError{Code: muxer.CodeIncompatible, Reason: whyGuest}
	default:
		switch {
		case ad.freeOutbound()+p.yields(slotOutbound, a.Side, now) > 0:
			return slotOutbound, 0, nil
		case d != nil && d.slot == slotUpgrade && ad.evictor.keepVictim(a.ID, now):
			return slotUpgrade, 0, nil
		}
		return slotNone, 0, full(slotOutbound)
	}
	switch {
	case ad.linked[s]-p.yields(s, a.Side, now) < ad.limitOf(s):
		return s, 0, nil
	case (p == nil || p.current == nil) && ad.evictor.mayEnter(s, ad.groupOf(a.IP)):
		return slotEntry, s, nil
	}
	return slotNone, 0, full(s)
}

// yields returns how many slots of a budget the peer's own links give up for a new one.
func (p *peer) yields(s slot, side muxer.Side, now time.Time) (n int) {
	if p == nil || p.current == nil {
		return 0
	}
	if p.redialedBy(side, now) && p.current.slot == s {
		return 1
	}
	if p.current.evict != nil {
		for _, l := range p.open() {
			if l.slot == s {
				n++
			}
		}
	}
	return n
}

// full refuses a link because its budget has no room.
func full(s slot) *DisconnectError {
	reason := map[slot]string{
		slotInbound: "all inbound slots are taken", slotOutbound: "all outbound slots are taken",
		slotGuest: "all places for guests (plain libp2p peers) are taken",
	}[s]
	return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: limitKeys[s], Reason: reason}
}

// checkKey refuses what admit would refuse, as far as that is known once the remote's key is proven.
func (ad *admission) checkKey(a Arrival, now time.Time) *DisconnectError {
	p := ad.peers[a.ID]
	if p != nil {
		c := p.current
		if c != nil && c.evict == nil && c.settled(now) && !p.redialedBy(a.Side, now) {
			return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link"}
		}
	}
	if ad.exempt(a.ID) || a.Side == muxer.Dialer {
		return nil
	}
	if d := ad.checkIP(a.IP); d != nil {
		return d
	}
	_, _, d := ad.slotFor(a, p, nil, now)
	return d
}
