package peers

import (
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// The reference for who has to make room when a budget of those that dial us is full.

// bids says that the link holds or waits for a slot of a budget.
func (w *model) bids(l *modelLink, guest bool) bool {
	return l.guest == guest && (guest || l.side == muxer.Listener) && l.role != "leaving" && !l.lent &&
		!l.free && !l.called
}

func (w *model) entries(guest bool) (n int) {
	for _, l := range w.links {
		if l.entry && l.guest == guest {
			n++
		}
	}
	return n
}

// crowd is how many links of a network group a budget has, those that are to end apart.
func (w *model) crowd(guest bool, group peerstore.Group) (n int) {
	for _, l := range w.links {
		if w.bids(l, guest) && !l.evict && w.m.groupOf(l.ip) == group {
			n++
		}
	}
	return n
}

// open are the links that may be asked to make room: unprotected ones of the most crowded groups that have more than
// atLeast links.
func (w *model) open(guest bool, atLeast int) []*modelLink {
	var candidates []*modelLink
	for _, l := range w.links {
		if w.bids(l, guest) && !l.entry && !l.evict && l.role == "current" &&
			(w.of(l.id, "standby") == nil || w.of(l.id, "standby").guest) {
			candidates = append(candidates, l)
		}
	}
	safe := map[*modelLink]bool{}
	oldest := func(of []*modelLink) *modelLink {
		// links are numbered as they arrive
		return slices.MinFunc(of, func(a, b *modelLink) int { return int(a.num) - int(b.num) })
	}
	for range max(1, len(candidates)/4) {
		if rest := w.without(candidates, safe); len(rest) > 0 {
			safe[oldest(rest)] = true
		}
	}
	eighth := max(1, len(candidates)/8)
	best := func(value func(*modelLink) int64) { // the greatest positive value, and the oldest of equals
		for range eighth {
			var found []*modelLink
			for _, l := range w.without(candidates, safe) {
				switch {
				case value(l) <= 0 || len(found) > 0 && value(l) < value(found[0]):
				case len(found) > 0 && value(l) == value(found[0]):
					found = append(found, l)
				default:
					found = []*modelLink{l}
				}
			}
			if len(found) > 0 {
				safe[oldest(found)] = true
			}
		}
	}
	best(func(l *modelLink) int64 { return int64(l.useful) })
	best(func(l *modelLink) int64 {
		if l.latency == 0 {
			return 0
		}
		return int64(time.Hour - l.latency)
	})
	byLot := map[peerstore.Group][]*modelLink{}
	var groups []peerstore.Group
	for _, l := range w.without(candidates, safe) {
		if g := w.m.groupOf(l.ip); !g.IsZero() {
			if byLot[g] == nil {
				groups = append(groups, g)
			}
			byLot[g] = append(byLot[g], l)
		}
	}
	slices.SortFunc(groups, func(a, b peerstore.Group) int {
		if w.m.evictor.grounds.groupPriority(a) < w.m.evictor.grounds.groupPriority(b) {
			return -1
		}
		return 1
	})
	for _, g := range groups[:min(eighth, len(groups))] {
		safe[oldest(byLot[g])] = true
	}
	var open []*modelLink
	most := atLeast
	for _, l := range w.without(candidates, safe) {
		switch n := w.crowd(guest, w.m.groupOf(l.ip)); {
		case n <= atLeast || n < most:
		case n > most:
			most, open = n, []*modelLink{l}
		default:
			open = append(open, l)
		}
	}
	return open
}

func (w *model) without(links []*modelLink, safe map[*modelLink]bool) []*modelLink {
	return slices.DeleteFunc(slices.Clone(links), func(l *modelLink) bool { return safe[l] })
}

// settleEntries gives free slots to those that wait for one: first to those that are up, then in order of node id.
func (w *model) settleEntries() {
	var waiting []*modelLink
	for _, l := range w.links {
		if l.entry {
			waiting = append(waiting, l)
		}
	}
	slices.SortFunc(waiting, func(a, b *modelLink) int {
		if au, bu := a.ready.IsZero(), b.ready.IsZero(); au != bu {
			if bu {
				return -1
			}
			return 1
		}
		if a.id == b.id {
			return strings.Compare(b.role, a.role)
		}
		return strings.Compare(string(a.id), string(b.id))
	})
	for _, l := range waiting {
		held, limit := w.inbound()-w.entries(false), w.cfg.MaxInbound
		if l.guest {
			held, limit = w.guests()-w.entries(true), w.cfg.Guests
		}
		if held < limit {
			l.entry = false
			w.did("entry gets a free slot", "link %d of %s", l.num, l.id)
		}
	}
}
