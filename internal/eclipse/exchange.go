package eclipse

import (
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The parts of discovery/pex that matter here.
const (
	askInterval  = 5 * time.Minute  // between two requests to a peer, on average
	askNeed      = 30 * time.Second // while outbound links are missing
	quotaBurst   = 1000             // addresses taken from one peer at once, and as many again in an hour
	quotaRefills = time.Hour
)

// quota counts the addresses taken from each peer.
type quota map[transport.NodeID]*account

type account struct {
	spent float64
	at    time.Time
}

// take returns how many of n addresses may be taken from a peer now.
func (q quota) take(id transport.NodeID, n int, now time.Time) int {
	a := q[id]
	if a == nil {
		a = &account{at: now}
		q[id] = a
	}
	a.spent = max(0, a.spent-quotaBurst*float64(now.Sub(a.at))/float64(quotaRefills))
	a.at = now
	n = min(n, quotaBurst-int(a.spent))
	a.spent += float64(n)
	return n
}

// ask asks a peer for addresses, takes its answer, and asks again later.
func (v *victim) ask(l *link) {
	if v.links[l.id] != l || v.down {
		return
	}
	w := v.w
	from := l.peer.addr.ID()
	n := told
	if l.peer.his {
		n = attackAnswer
	}
	if w.attack.Policy.Flat == 0 {
		n = v.taken.take(from, n, time.Now())
	}
	for range n {
		a := w.honest.any
		if l.peer.his || w.attacker.here && w.random.Float64() < poisoned {
			a = w.attacker.any
		}
		v.manager.Add(a(), peerstore.Source{Kind: "pex", From: from})
	}
	next := askInterval/2 + w.soon(askInterval)
	if _, all := v.outbound(); all < Slots {
		next = askNeed/2 + w.soon(askNeed)
	}
	w.after(next, func() { v.ask(l) })
}
