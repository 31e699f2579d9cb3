package peers

import (
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A cut takes many links at once. The peers behind it are lost, not dead: the node dials them again and again, one at a
// time, for a day, whatever their backoffs say, and even if all slots are full by then. One that answers takes the slot
// of the youngest link that was made since. So two parts of a network that have filled their slots in the meantime
// become one again. Only peers that we had dialed count: the other end looks for those that had dialed us, and nobody
// gets an outbound slot by dialing us and hanging up.
const (
	lostWindow  = 2 * time.Minute // links that end within it may have ended for one reason: keep-alives vary
	lostShare   = 6               // at least a sixth of the links must have gone
	lostFor     = 24 * time.Hour
	maxLost     = 64
	lostSoonest = 5 * time.Second // between two dials of lost peers, soon after the cut or once one has answered
	lostLatest  = time.Minute     // and when the cut lasts
)

// lostPeer is a peer whose link has ended though nobody wanted it to.
type lostPeer struct {
	id       transport.NodeID
	at       time.Time
	outbound bool
}

// lost are the peers that were lost in a cut.
type lost struct {
	recent []lostPeer // those of lostWindow, whatever the reason
	peers  []lostPeer // those to be dialed, the next one first
	since  time.Time  // of the cut, or when one of them last answered
	nextAt time.Time  // when the next one is due
	latest transport.NodeID
}

// note takes note of a link that has ended, while others are up.
func (s *lost) note(e lostPeer, others int) {
	s.recent = slices.DeleteFunc(s.recent, func(o lostPeer) bool { return o.id == e.id || e.at.Sub(o.at) > lostWindow })
	if s.recent = append(s.recent, e); len(s.recent) > maxLost {
		s.recent = slices.Delete(s.recent, 0, 1)
	}
	if n := len(s.recent); n*lostShare < n+others {
		return
	}
	if len(s.peers) == 0 {
		s.since, s.nextAt = e.at, e.at.Add(lostSoonest)
	}
	for i := range s.recent {
		if r := &s.recent[i]; r.outbound && len(s.peers) < maxLost {
			r.outbound = false // once
			s.peers = append(s.peers, *r)
			s.peers[len(s.peers)-1].outbound = true
		}
	}
}

// broke reports whether a link ended though neither end wanted it to.
func broke(reason *DisconnectError) bool {
	return slices.Contains([]muxer.Code{muxer.CodeIdle, muxer.CodeTimeout, muxer.CodeTransport, muxer.CodeRemoteClosed},
		reason.Code)
}

// countUp returns how many peers are up.
func (t *table) countUp() (n int) {
	for _, p := range t.peers {
		if p.inUse != nil {
			n++
		}
	}
	return n
}

// found reports whether a peer that is up now was lost; then the others are due soon.
func (s *lost) found(id transport.NodeID, now time.Time) bool {
	n := len(s.peers)
	s.peers = slices.DeleteFunc(s.peers, func(p lostPeer) bool { return p.id == id })
	if len(s.peers) == n {
		return false
	}
	s.since, s.nextAt = now, now
	return true
}

// dialLost begins a dial of the next lost peer, if one is due.
func (d *dialer) dialLost(now time.Time) (Dial, bool) {
	s := &d.lost
	if at, ok := d.lostDue(); !ok || at.After(now) {
		return Dial{}, false
	}
	for range len(s.peers) {
		next := s.peers[0]
		s.peers = slices.Delete(s.peers, 0, 1)
		rec, known := d.store.Get(next.id)
		if !known || d.trusted[next.id] || now.Sub(next.at) > lostFor {
			continue
		}
		if d.peers[next.id] == nil {
			rec.NotBefore = time.Time{}
			for i := range rec.Addresses {
				rec.Addresses[i].NotBefore = time.Time{}
			}
			how := dial{slot: slotOutbound, lost: next.at}
			if d.freeOutbound() <= 0 {
				how.slot = slotUpgrade
				if d.linked[slotOutbound] >= d.limitOf(slotOutbound) && d.youngestSince(next.at) == nil {
					s.peers = append(s.peers, next) // nobody would make room for it
					continue
				}
			}
			out, ok := d.begin(&rec, how, now)
			if !ok {
				continue // it is banned, or of another network
			}
			s.peers = append(s.peers, next)
			s.latest = next.id
			s.nextAt = now.Add(d.unpredictable(min(max(now.Sub(s.since)/10, lostSoonest), lostLatest)))
			return out, true
		}
		s.peers = append(s.peers, next)
	}
	s.nextAt = now.Add(lostSoonest)
	return Dial{}, false
}

// lostDue returns when the next lost peer is to be dialed: one at a time.
func (d *dialer) lostDue() (time.Time, bool) {
	p := d.peers[d.lost.latest]
	inFlight := p != nil && p.dial != nil
	return d.lost.nextAt, len(d.lost.peers) > 0 && !inFlight && (d.freeOutbound() > 0 || d.freeUpgrades() > 0)
}

// youngestSince returns the youngest outbound link that is up, was made after a cut and leads to no peer lost in it.
// The link of a lost peer ended at the time ended, by when others may have been lost, and replaced, for a while.
func (t *table) youngestSince(ended time.Time) (youngest *link) {
	cut := ended.Add(-lostWindow)
	links, _ := t.evictable(slotOutbound)
	for _, l := range links {
		if l.lost.IsZero() && !l.ready.IsZero() && l.arrived.After(cut) &&
			(youngest == nil || l.arrived.After(youngest.arrived)) {
			youngest = l
		}
	}
	return youngest
}
