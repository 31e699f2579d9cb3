package peers

import (
	"math"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A move replaces the link of a peer that is up by a better one, from comet to QUIC, while the peer stays up. The end
// that dialed the old link dials the new one; the other end tries it only if that has not happened for a while. The new
// link takes no slot: once both ends have accepted it, it takes over that of the old one, which then ends. If the old
// link ends before that, the new one ends too, because messages on the old one may be lost: the peer is down.
//
// Both ends agree on one of two simultaneous moves: the lower node id, while it dials, refuses the other's.
const (
	moveSoon     = time.Second // after the link has come up, on average; the remote may be a little later than we are
	moveLater    = 2 * time.Minute
	moveAgain    = 10 * time.Second // when the peer is busy with something else
	moveStable   = 10 * time.Minute // the new link must live so long to count as a success
	maxMoveFails = 1024             // peers whose moves have failed
)

// moveBackoffs are the pauses after failed moves of a peer: UDP may be blocked, which few things change.
var moveBackoffs = [...]time.Duration{time.Minute, 5 * time.Minute, 20 * time.Minute, time.Hour}

// moves decides when links move.
type moves struct {
	due    map[*link]time.Time
	failed map[transport.NodeID]failedMoves
}

// failedMoves are those of one peer in a row.
type failedMoves struct {
	count int
	until time.Time // when the backoff ends
}

// NoLink stands in Arrival.Replaces for a link that the node does not have.
const NoLink = math.MaxUint64

// planMove takes note of a link that has come up and may move.
func (d *dialer) planMove(l *link, now time.Time) {
	wait := moveSoon
	if l.inbound {
		wait = moveLater
	}
	d.moves.due[l] = later(now.Add(d.unpredictable(wait)), d.moves.failed[l.peer.id].until)
}

// firstMove returns the link whose move is due first.
func (d *dialer) firstMove() (first *link, at time.Time) {
	for l, due := range d.moves.due {
		if c := due.Compare(at); first == nil || c < 0 || c == 0 && l.id < first.id {
			first, at = l, due
		}
	}
	return first, at
}

// move begins the move that is due.
func (d *dialer) move(now time.Time) (Dial, bool) {
	l, at := d.firstMove()
	if l == nil || at.After(now) {
		return Dial{}, false
	}
	p := l.peer
	if p.preferred != l || l.state != up {
		delete(d.moves.due, l)
		return Dial{}, false
	}
	d.moves.due[l] = now.Add(moveAgain)
	if p.dial != nil || p.standby != nil || len(p.retired) > 0 {
		return Dial{}, false
	}
	addrs := slices.DeleteFunc(slices.Clone(l.moveTo), func(a transport.Address) bool {
		ip, _ := a.IP()
		_, banned := d.store.Banned(p.id, ip, now)
		_, can := d.cfg.Rank(a)
		return banned || !can || d.selves.has(a) || ip != l.ip && d.blocked(p.id, a, now)
	})
	if len(addrs) == 0 {
		d.moveFailed(p.id, l, now)
		return Dial{}, false
	}
	d.pace.begin(now)
	d.startDial(p.id, dial{slot: slotMove, first: addrs[0], moves: l})
	return Dial{ID: p.id, Addresses: addrs, Replaces: l.id}, true
}

// moveFailed lets a peer's moves back off. l is the link that did not move.
func (d *dialer) moveFailed(id transport.NodeID, l *link, now time.Time) {
	f := d.moves.failed[id]
	base := moveBackoffs[min(f.count, len(moveBackoffs)-1)]
	f.count, f.until = f.count+1, now.Add(base-base/8+jitter(base/4, d.rng))
	if len(d.moves.failed) >= maxMoveFails {
		for id, o := range d.moves.failed {
			if o.until.Before(now) {
				delete(d.moves.failed, id)
			}
		}
	}
	if len(d.moves.failed) < maxMoveFails {
		d.moves.failed[id] = f
	}
	if d.links[l.id] == l && l.moveTo != nil {
		d.moves.due[l] = f.until
	}
}

// moveEnded takes note of the end of a link, as far as it has to do with moves.
func (d *dialer) moveEnded(l *link, reason *DisconnectError, now time.Time) {
	delete(d.moves.due, l)
	switch old := l.replaces; {
	case old != nil: // it did not take over
		d.moveFailed(l.peer.id, old, now)
	case !l.moved:
	case broke(reason) && now.Sub(l.arrived) < moveStable: // perhaps QUIC does not work for long here
		d.moveFailed(l.peer.id, l, now)
	case now.Sub(l.arrived) >= moveStable:
		delete(d.moves.failed, l.peer.id)
	}
}

// admitMove decides on a link that is to replace another one of its peer.
func (ad *admission) admitMove(a Arrival, l *link, d *dial, now time.Time) *DisconnectError {
	p, old := ad.peers[a.ID], ad.links[a.Replaces]
	switch {
	case a.Guest || !a.Confirms:
		return &DisconnectError{Code: muxer.CodeIncompatible, Reason: "only Switchyard nodes move a link"}
	case old == nil || old.peer != p || p.preferred != old || old.state != up || old.guest:
		return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the link that this one replaces is not up"}
	case d != nil && d.moves != old:
		return &DisconnectError{Code: muxer.CodeUnknown, Reason: "nobody asked for this move"}
	case p.standby != nil || len(p.retired) > 0:
		return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link already"}
	case d == nil && p.dial != nil && p.dial.slot == slotMove && ad.self < p.id:
		return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the other end moves the link"}
	}
	if a.IP != old.ip && !ad.exempt(a.ID) {
		if refusal := ad.checkIP(a.IP); refusal != nil {
			return refusal
		}
	}
	l.peer, l.replaces, l.state, l.inbound = p, old, standby, old.inbound
	ad.addLink(l)
	p.standby = l
	return nil
}

// takeOver makes a link that both ends have accepted the preferred one, in place of the one that it replaces.
func (t *table) takeOver(l *link) {
	p, old := l.peer, l.replaces
	s := old.slot
	old.reason, old.told = &DisconnectError{Code: muxer.CodeMoved, Reason: "another link has taken over"}, true
	t.retire(old)
	t.setSlot(l, s)
	p.preferred, p.standby = l, nil
	l.replaces, l.moved, l.state = nil, true, established
	l.bid, l.churn, l.lost = old.bid, old.churn, old.lost
	l.ready, l.useful, l.latency = old.ready, old.useful, old.latency
}

// linkMoved records that a link has taken over, and the address to which it leads. That is not known before, so that
// nobody dials what only the remote has told us of.
func (r *recorder) linkMoved(l *link, now time.Time) {
	if l.dialed.IsZero() || !r.store.Add(l.dialed, peerstore.Source{Kind: "peer", From: l.peer.id, IP: l.ip}, now) {
		return
	}
	r.store.Update(l.peer.id, func(rec *peerstore.Record) {
		if a := addressOf(rec, l.dialed); a != nil {
			a.LastDialed, a.LastSuccess, a.LastError = now, now, ""
		}
	})
}
