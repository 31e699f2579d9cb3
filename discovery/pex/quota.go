package pex

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// quotaBurst addresses are taken from one peer at once, and as many again in quotaPeriod: enough for whole answers of a large network, too little to
	// fill an address book.
	quotaBurst  = 1000
	quotaPeriod = time.Hour
	// quotaPeers are remembered. The account of a peer outlives its link, so that a reconnection does not refill it.
	quotaPeers = 4096
)

// quota caps what one peer contributes over time.
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

// take says how many of n addresses may be taken from a peer, and counts them.
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

// makeRoom forgets the accounts that are as good as new, and where there is none, any one: its peer could as well have come with another key.
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
