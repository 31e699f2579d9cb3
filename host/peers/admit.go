package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// admission decides on links that have passed their handshake.
type admission struct {
	*table
	evictor  *evictor
	record   *recorder
	offences offences
}

// admit decides on a link and takes it in. d is the dial that brought it, nil for an inbound link; its slot has been
// given back.
func (ad *admission) admit(a Arrival, l *link, d *dial, now time.Time) *DisconnectError {
	switch {
	case a.ID == "" || a.LinkID == 0 || ad.links[a.LinkID] != nil:
		return &DisconnectError{Code: muxer.CodeUnknown, Reason: "a link without a node id or an id of its own"}
	case a.ID == ad.self:
		return &DisconnectError{Code: muxer.CodeSelf, Reason: "we reached ourselves"}
	case a.Side == muxer.Dialer && d == nil:
		return &DisconnectError{Code: muxer.CodeUnknown, Reason: "nobody asked for this dial"}
	}
	if ban, ok := ad.store.Banned(a.ID, a.IP, now); ok {
		return &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	if a.Replaces != 0 || d != nil && d.slot == slotMove {
		return ad.admitMove(a, l, d, now)
	}
	if requested := d != nil && d.requested; !requested && !ad.exempt(a.ID) {
		if refusal := ad.checkIP(a.IP); refusal != nil {
			return refusal
		}
		if refusal := ad.checkSuspect(a, now); refusal != nil && a.Side == muxer.Listener {
			return refusal
		}
	}
	p := ad.peers[a.ID]
	linked := p != nil && p.preferred != nil
	if linked {
		if refusal := p.checkDuplicate(l, ad.self, now); refusal != nil {
			return refusal
		}
	}
	if a.Guest && (!linked || p.preferred.guest) {
		ad.record.rememberGuest(a.ID, now)
	}
	if !linked || !p.shares(l) {
		var refusal *DisconnectError
		if l.slot, l.bid, refusal = ad.slotFor(a, p, d, now); refusal != nil {
			return refusal
		}
	}
	if d != nil {
		l.churn, l.lost = d.churn, d.lost
	}
	l.peer = ad.peer(a.ID)
	ad.addLink(l)
	ad.store.Ensure(a.ID, now, func(rec *peerstore.Record) {
		rec.Busy = true
		l.newcomer = l.inbound && rec.LastConnected.IsZero()
		if known := addressOf(rec, a.Dialed); known != nil {
			known.LastDialed = now
		}
	})
	l.peer.busy = true
	ad.join(l, now)
	return nil
}

// slotFor chooses the budget of a new link, or refuses it with the limit that is reached. If an inbound budget is full
// and a link would make room for this one, that is slotEntry, and bid is the budget.
func (ad *admission) slotFor(a Arrival, p *peer, d *dial, now time.Time) (s, bid slot, refusal *DisconnectError) {
	switch {
	case ad.exempt(a.ID) || d != nil && d.requested && !a.Guest:
		return slotTrusted, 0, nil
	case a.Guest && d != nil && d.requested:
		if s = slotDialedGuest; ad.linked[s]-p.yields(s, a, now) >= ad.limitOf(s) { // nobody has to make room
			return slotNone, 0, full(s)
		}
		return s, 0, nil
	case a.Guest && a.Side == muxer.Listener:
		s = slotGuest
	case a.Side == muxer.Listener:
		s = slotInbound
	case a.Guest:
		return slotNone, 0, &DisconnectError{Code: muxer.CodeIncompatible, Reason: whyGuest}
	default:
		switch {
		case ad.freeOutbound()+p.yields(slotOutbound, a, now) > 0:
			return slotOutbound, 0, nil
		case d != nil && d.slot == slotUpgrade:
			return slotUpgrade, 0, nil
		}
		return slotNone, 0, full(slotOutbound)
	}
	switch {
	case ad.linked[s]-p.yields(s, a, now) < ad.limitOf(s):
		return s, 0, nil
	case (p == nil || p.preferred == nil) && ad.evictor.mayEnter(s, ad.groupOf(a.IP)):
		return slotEntry, s, nil
	}
	return slotNone, 0, full(s)
}

// yields returns how many slots of a budget the peer's own links give up for a new one.
func (p *peer) yields(s slot, a Arrival, now time.Time) (n int) {
	if p == nil || p.preferred == nil {
		return 0
	}
	if p.redialedBy(a.Side == muxer.Listener, a.Guest, now) && p.preferred.slot == s {
		return 1
	}
	if p.preferred.state == closing {
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
		slotGuest:       "all places for guests (plain libp2p peers) are taken",
		slotDialedGuest: "all places for guests (plain libp2p peers) that we dial are taken",
	}[s]
	return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: limitKeys[s], Reason: reason}
}

// checkKey refuses what admit would refuse, as far as that is known once the remote's key is proven.
func (ad *admission) checkKey(a Arrival, now time.Time) *DisconnectError {
	p := ad.peers[a.ID]
	if p != nil {
		c := p.preferred
		if c != nil && c.state != closing && c.settled(now) && !p.redialedBy(a.Side == muxer.Listener, a.Guest, now) {
			return duplicate()
		}
	}
	if ad.exempt(a.ID) || a.Side == muxer.Dialer {
		return nil
	}
	if d := ad.checkIP(a.IP); d != nil {
		return d
	}
	if d := ad.checkSuspect(a, now); d != nil {
		return d
	}
	_, _, d := ad.slotFor(a, p, nil, now)
	return d
}
