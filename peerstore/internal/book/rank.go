package book

import (
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A learned peer's level determines how likely it is to be dialed: each level doubles the weight. Old Tendermint
// ordered peers strictly by such a rank, so the peer that looked best was always dialed first; a weight leaves each
// peer a chance.
const (
	levels      = 24
	topLevel    = levels - 1
	middleLevel = 13

	daySuccess  = 2  // worked within a day
	weekSuccess = 1  // within a week
	mostFailed  = 8  // each failed dial since the last success halves the weight, so many times
	scoreLevel  = 25 // points of score that double the weight
	unheard     = -1 // a new peer that nobody has reported for a week
	oddService  = -3 // a new peer at an unusual port: some report other services' ports, to have us attack these
)

const day = int64(24 * time.Hour)

// level returns e's level at a time.
func (e *entry) level(now int64) int {
	level := middleLevel - min(int(e.failures), mostFailed) + int(e.score)/scoreLevel
	if last := e.lastWorked(); last != 0 {
		switch age := now - last; {
		case age < day:
			level += daySuccess
		case age < 7*day:
			level += weekSuccess
		}
	} else {
		heard := int64(0)
		for i := range e.addresses {
			heard = max(heard, e.addresses[i].lastHeard)
		}
		if now-heard > 7*day {
			level += unheard
		}
		if e.reach() == oddPort {
			level += oddService
		}
	}
	return min(max(level, 0), topLevel)
}

// rank numbers the peers that are alike, the best first: trusted, busy, and then learned ones by level, and within a
// level the unconditional and configured, the routable and the tried ones first.
type rank uint16

const (
	trustedRank rank = iota
	busyRank
	learnedRank

	alikes = 2 * 2 * 3 // learned ranks of one level
	ranks  = learnedRank + levels*alikes

	unfiled rank = ranks // an entry that is in no rank yet
)

func rankAt(level int, spared, far bool, table peerstore.Table) rank {
	n := rank(topLevel-level)*2 + rank(b2i(!spared))
	n = n*2 + rank(b2i(!far))
	return learnedRank + n*3 + rank(peerstore.Tried-table)
}

// level returns the level of a learned rank.
func (r rank) level() int { return topLevel - int(r-learnedRank)/alikes }

// rankOf returns the rank in which e belongs now.
func (c *catalog) rankOf(e *entry) rank {
	switch {
	case e.is(gone):
		return unfiled
	case e.is(trusted):
		return trustedRank
	case e.is(busy):
		return busyRank
	}
	return rankAt(e.level(c.now), e.is(unconditional|configured), e.reach() != nearby, e.table)
}

// fileRank moves e to the rank in which it belongs.
func (c *catalog) fileRank(e *entry) {
	to := c.rankOf(e)
	if e.rank == to {
		return
	}
	if e.rank != unfiled {
		c.ranks[e.rank].remove(byRank, e)
	}
	if e.rank = to; to != unfiled {
		c.ranks[to].add(byRank, e)
	}
}

// victimLooks is how many peers are compared when one has to go.
const victimLooks = 8

// prune removes peers beyond MaxPeers, as long as there are any that may go: the lowest level first, and new peers
// before tried ones.
func (c *catalog) prune() {
	for len(c.peers) > c.limits.MaxPeers {
		e := c.victim(peerstore.Any, peerstore.New)
		if e == nil {
			e = c.victim(peerstore.Tried)
		}
		if e == nil {
			return
		}
		c.remove(e)
	}
}

// victim chooses who of some tables must go: of a few peers of the lowest level the one in the fullest bucket, so that
// a source that floods the book pushes out its own peers.
func (c *catalog) victim(tables ...peerstore.Table) (victim *entry) {
	for level := range levels {
		most := -1
		for _, table := range tables {
			for _, far := range [...]bool{false, true} {
				all := c.ranks[rankAt(level, false, far, table)]
				for range min(len(all), victimLooks) {
					e := all[c.random.IntN(len(all))]
					if n := c.buckets.neighbours(e); n > most {
						victim, most = e, n
					}
				}
			}
		}
		if victim != nil {
			return victim
		}
	}
	return nil
}

// Range calls fn with copies of all peers by rank: see peerstore.Store. A peer whose rank changes meanwhile may be seen
// twice or not at all.
func (b *Book) Range(fn func(peerstore.Record) bool) {
	page := make([]peerstore.Record, 0, 64)
	for r := range ranks {
		for from := 0; ; from += len(page) {
			if page = b.page(page[:0], r, from); len(page) == 0 {
				break
			}
			for i := range page {
				if !fn(page[i]) {
					return
				}
			}
		}
	}
}

// page copies as many peers of a rank as fit into out.
func (b *Book) page(out []peerstore.Record, r rank, from int) []peerstore.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	for all := b.c.ranks[r]; from < len(all) && len(out) < cap(out); from++ {
		var rec peerstore.Record
		all[from].read(&rec)
		out = append(out, rec)
	}
	return out
}
