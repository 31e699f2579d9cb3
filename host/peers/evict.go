package peers

import (
	"cmp"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// evictor chooses links that must end: those that were asked for, and those that make room for others.
type evictor struct {
	*table
	grounds grounds
	wake    waker
	queue   []uint64          // links whose end was asked for, in order
	tally   map[string]uint64 // by cause
}

// Why links end for the sake of others, in words.
const (
	whyCrowded  = "a peer of a less crowded network group took the place"
	whyUpgrade  = "a better peer took the slot"
	whyChurn    = "its turn to make room for another peer"
	whyFound    = "a peer that was lost in a cut is back"
	whyCapacity = "more links than there is room for"
)

// causeOf returns why a link was closed, in a word.
func causeOf(reason *DisconnectError) string {
	switch reason.Reason {
	case whyCrowded:
		return "crowded"
	case whyUpgrade:
		return "upgrade"
	case whyChurn:
		return "churn"
	case whyFound:
		return "found"
	case whyCapacity:
		return "capacity"
	}
	return reason.Code.String()
}

// request asks for the end of all links of a peer; the first reason counts. It reports whether there was one to end.
func (e *evictor) request(id transport.NodeID, reason *DisconnectError) bool {
	p := e.peers[id]
	if p == nil {
		return false
	}
	asked := false
	for _, l := range p.open() {
		if l.state != closing {
			l.state, l.reason = closing, reason
			e.queue = append(e.queue, l.id)
			asked = true
		}
	}
	if asked {
		e.tally[causeOf(reason)]++
		e.wake.wake()
	}
	return asked
}

// next returns the next link to end: one that was asked for, else an unprotected one of a budget beyond its capacity.
func (e *evictor) next() (Eviction, bool) {
	for len(e.queue) > 0 {
		l := e.links[e.queue[0]]
		e.queue = e.queue[1:]
		if l != nil && !l.told {
			l.told = true
			return Eviction{ID: l.peer.id, LinkID: l.id, Reason: l.reason}, true
		}
	}
	for _, s := range [...]slot{slotInbound, slotOutbound, slotGuest, slotDialedGuest} {
		if e.linked[s] <= e.limitOf(s) {
			continue
		}
		candidates, leaving := e.evictable(s)
		if e.linked[s]-leaving <= e.limitOf(s) || len(candidates) == 0 {
			continue
		}
		l := e.crowded(s, 0)
		if l == nil { // all are protected
			l = slices.MaxFunc(candidates, older)
		}
		l.reason = &DisconnectError{Code: muxer.CodeEvicted, Limit: limitKeys[s], Reason: whyCapacity}
		l.state, l.told = closing, true
		e.tally[causeOf(l.reason)]++
		return Eviction{ID: l.peer.id, LinkID: l.id, Reason: l.reason}, true
	}
	return Eviction{}, false
}

// crowded returns the link that makes room in a full budget: one of the most crowded network group that has an
// unprotected link, at random. Groups of no more than atLeast links are spared, so a newcomer whose group would have as
// many gets no room: a flood from some groups takes places from larger groups only. It returns nil if there is none.
func (e *evictor) crowded(s slot, atLeast int) *link {
	perGroup := e.linksPerGroup(s)
	most := 0
	for _, n := range perGroup {
		most = max(most, n)
	}
	if most <= atLeast { // the usual answer in a flood, for little work
		return nil
	}
	links, _ := e.evictable(s)
	safe := e.grounds.protected(links)
	most = atLeast
	var open []*link
	for _, l := range links {
		switch n := perGroup[l.group]; {
		case safe[l] != unprotected || n < most || n <= atLeast:
		case n > most:
			most, open = n, append(open[:0], l)
		default:
			open = append(open, l)
		}
	}
	if len(open) == 0 {
		return nil
	}
	group := open[e.rng.IntN(len(open))].group // of several groups that are as crowded, one
	open = slices.DeleteFunc(open, func(l *link) bool { return l.group != group })
	return open[e.rng.IntN(len(open))]
}

// mayEnter reports whether a newcomer of a network group would find room in a full budget, and a place to wait in until
// it is up.
func (e *evictor) mayEnter(s slot, group peerstore.Group) bool {
	if e.linked[slotEntry] >= e.cfg.MaxUpgrades {
		return false
	}
	return e.crowded(s, e.linksPerGroup(s)[group]+1) != nil
}

// makeRoom lets another link make room for one that comes up beyond a full budget. If there is none, it asks for the
// end of this one and reports false.
func (e *evictor) makeRoom(l *link, now time.Time) bool {
	switch {
	case l.slot == slotEntry && !e.enter(l):
		e.request(l.peer.id, full(l.bid))
	case l.slot == slotUpgrade && !e.replace(l, now):
		e.request(l.peer.id, full(slotOutbound))
	default:
		return true
	}
	return false
}

// enter finds a place for a link beyond a full budget, now that it is up: a free one, or that of a link which must go.
// It reports whether there is one.
func (e *evictor) enter(l *link) bool {
	if e.linked[l.bid] < e.limitOf(l.bid) {
		e.setSlot(l, l.bid)
		return true
	}
	victim := e.crowded(l.bid, e.linksPerGroup(l.bid)[l.group])
	if victim == nil {
		return false
	}
	e.request(victim.peer.id, &DisconnectError{Code: muxer.CodeEvicted, Limit: limitKeys[l.bid], Reason: whyCrowded})
	return true
}

// fillSlots gives free slots to those beyond full budgets, which thereby become ordinary links and dials.
func (e *evictor) fillSlots() {
	if e.linked[slotEntry] > 0 {
		for _, up := range []bool{true, false} { // first those for which a link is leaving already
			for _, p := range e.sorted() {
				for _, l := range p.open() {
					if l.slot == slotEntry && !l.ready.IsZero() == up && e.linked[l.bid] < e.limitOf(l.bid) {
						e.setSlot(l, l.bid)
					}
				}
			}
		}
	}
	if e.linked[slotUpgrade]+e.dialing[slotUpgrade] == 0 || e.freeOutbound() <= 0 {
		return
	}
	for _, p := range e.sorted() {
		for _, l := range p.open() {
			if l.slot == slotUpgrade && e.freeOutbound() > 0 {
				e.setSlot(l, slotOutbound)
			}
		}
		if p.dial != nil && p.dial.slot == slotUpgrade && e.freeOutbound() > 0 {
			e.dialing[slotUpgrade]--
			e.dialing[slotOutbound]++
			p.dial.slot = slotOutbound
		}
	}
}

// older orders links by age, the oldest first.
func older(a, b *link) int {
	return cmp.Or(a.arrived.Compare(b.arrived), cmp.Compare(a.id, b.id))
}
