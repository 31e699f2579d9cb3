package book

import (
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// expired reports whether a learned peer is to be forgotten: it was neither seen nor heard of for Limits.Expiry, or
// none of its addresses answers.
func (c *catalog) expired(e *entry) bool {
	if e.is(kept | busy) {
		return false
	}
	return e.lastSeen() <= c.now-int64(c.limits.Expiry) || e.failures >= attemptsUntried && e.hopeless(c.now)
}

// lastSeen is peerstore.Record.LastSeen.
func (e *entry) lastSeen() int64 {
	last := max(e.firstSeen, e.details.lastConnected, e.details.lastDisconnected)
	for i := range e.addresses {
		last = max(last, e.addresses[i].lastHeard, e.addresses[i].lastWorked)
	}
	return last
}

// How often the dials of an address must fail in a row until it is not tried again: one that never worked, and one that
// has not worked for a week (a link that the peer began counts as well). While this machine has no
// network, the caller must keep failures below these bounds: the peer manager does.
const (
	attemptsUntried = 10
	attemptsTried   = 20
)

// hopeless reports whether all addresses of e have failed too often. What the operator configured is never hopeless.
func (e *entry) hopeless(now int64) bool {
	if e.is(private) || len(e.addresses) == 0 {
		return false
	}
	for i := range e.addresses {
		a := &e.addresses[i]
		last := max(a.lastWorked, e.details.lastConnected)
		switch {
		case a.failures < attemptsUntried || a.source.Source.Kind == peerstore.SourceConfig:
			return false
		case last != 0 && (a.failures < attemptsTried || now-last < 7*day):
			return false
		}
	}
	return true
}

// sweepStep is how many entries one call looks at for expired peers, at most every sweepEvery: a hand goes around the
// book, so no index by age is needed.
const (
	sweepStep  = 4
	sweepEvery = int64(time.Millisecond)
)

// hand is where sweep goes on.
type hand struct {
	rank  rank
	index int
	moved int64 // when it last did
}

func (c *catalog) sweep() {
	if since := c.now - c.hand.moved; since >= 0 && since < sweepEvery || len(c.peers) == 0 {
		return
	}
	c.hand.moved = c.now
	for range sweepStep {
		for c.hand.index >= len(c.ranks[c.hand.rank]) {
			c.hand.rank, c.hand.index = (c.hand.rank+1)%ranks, 0
		}
		if e := c.ranks[c.hand.rank][c.hand.index]; c.expired(e) {
			c.remove(e)
			if len(c.peers) == 0 {
				return
			}
			continue
		}
		c.hand.index++
	}
}
