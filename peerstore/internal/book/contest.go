package book

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A contest is between a new peer that has worked, the challenger, and a tried one whose place it claims, as their
// bucket is full. Feeler has the incumbent tested first. It stays if it works; it goes back to the new table if it does
// not, or if nobody tests it within contestTime. (Bitcoin Core's address manager does so, with the same time; without a
// test an attacker could push out good peers just by being there.)
type contest struct {
	challenger, incumbent *entry
	since                 int64
}

type contests []contest

const (
	contestTime = int64(40 * time.Minute)
	maxContests = 64 // beyond them a challenger comes again when it works the next time
)

// begin lets e claim a place in a full bucket. Of a few, it chooses the entry that worked least lately to show that it
// still works. Busy ones show it already.
func (l *contests) begin(e *entry, full []*entry, now int64, random *rand.Rand) {
	if e.is(contested) || len(*l) >= maxContests {
		return
	}
	var victim *entry
	least := int64(never)
	for range victimLooks {
		o := full[random.IntN(len(full))]
		if last := o.lastWorked(); !o.is(busy|contested) && last < least {
			victim, least = o, last
		}
	}
	if victim == nil {
		return
	}
	*l = append(*l, contest{e, victim, now})
	e.set(contested, true)
	victim.set(contested, true)
}

// judge settles the contests that are decided.
func (c *catalog) judge() {
	for i := 0; i < len(c.contests); {
		x := c.contests[i]
		won, decided := x.verdict(c.now)
		if !decided {
			i++
			continue
		}
		c.contests = slices.Delete(c.contests, i, i+1)
		x.challenger.set(contested, false)
		x.incumbent.set(contested, false)
		if !won {
			continue
		}
		if o := x.incumbent; !o.is(gone) && o.table == peerstore.Tried {
			c.demote(o)
		}
		if e := x.challenger; !e.is(gone) { // the incumbent may have taken its place
			c.file(e, change{worked: true})
			c.changes.note(e)
		}
	}
}

// verdict reports whether the contest is decided, and whether the challenger has won.
func (x *contest) verdict(now int64) (won, decided bool) {
	e, o := x.challenger, x.incumbent
	switch {
	case e.is(gone|kept) || e.table != peerstore.New:
		return false, true
	case o.is(gone|kept) || o.table != peerstore.Tried:
		return true, true
	case o.is(busy): // it is being dialed, or linked
		return false, false
	case o.lastWorked() >= x.since:
		return false, true
	case now-x.since >= contestTime:
		return true, true
	case x.since-now >= contestTime: // the clock was set back
		return false, true
	}
	failed := func(a address) bool { return a.lastDialed >= x.since && a.failures > 0 }
	won = slices.ContainsFunc(o.addresses, failed)
	return won, won
}

// demote moves a tried peer back to the new table, where it takes another peer's place.
func (c *catalog) demote(e *entry) {
	c.buckets.exit(e)
	c.setTable(e, peerstore.New)
	c.enterNew(e, true)
	c.file(e, change{})
}
