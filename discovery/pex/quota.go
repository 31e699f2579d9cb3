package pex

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// A peer may contribute quotaBurst addresses at once and as many again in each quotaPeriod: enough for whole
	// answers of a large network, too little to fill an address book.
	quotaBurst  = 1000
	quotaPeriod = time.Hour
	// quotaPeers bounds the accounts. An account outlives its peer's link, so that a reconnection does not refill it.
	quotaPeers = 4096
)

// quota bounds what each peer contributes over time.
type quota struct {
	spent map[transport.NodeID]account
}

// account is a leaky bucket: spent drains to nothing within quotaPeriod.
type account struct {
	spent float64
	at    time.Time
}

func newQuota() *quota { return &quota{spent: make(map[transport.NodeID]account)} }

func (a account) now(now time.Time) float64 {
	return max(0, a.spent-quotaBurst*float64(now.Sub(a.at))/float64(quotaPeriod))
}

// take returns how many of n addresses may be taken from a peer, and charges them.
func (q *quota) take(id transport.NodeID, n int, now time.Time) int {
	a, known := q.spent[id]
	spent := a.now(now)
	n = min(n, quotaBurst-int(spent))
	if n <= 0 {
		return 0
	}
	if !known && len(q.spent) >= quotaPeers {
		q.makeRoom(now)
	}
	q.spent[id] = account{spent: spent + float64(n), at: now}
	return n
}

// makeRoom forgets accounts that have drained, or else any account: its peer could as well have come with a new key.
func (q *quota) makeRoom(now time.Time) {
	for id, a := range q.spent {
		if a.now(now) == 0 {
			delete(q.spent, id)
		}
	}
	for id := range q.spent {
		if len(q.spent) < quotaPeers {
			return
		}
		delete(q.spent, id)
	}
}
