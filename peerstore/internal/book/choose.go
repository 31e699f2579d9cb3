package book

import (
	"cmp"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Next chooses a peer that may be dialed at now: see peerstore.Store. As a rule the first draw is good, in O(1). Only
// if nearly all due peers are skipped or avoided it walks through them.
func (b *Book) Next(now time.Time, q peerstore.Query) (peerstore.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.advanceClock(now, manyMoves)
	x := choice{b: b, c: &b.c, q: q}
	if q.Table == peerstore.Any && len(b.c.due.trusted.members) > 0 && x.first(x.trusted()) {
		return x.r, true
	}
	ok := x.learned()
	return x.r, ok
}

// Feeler chooses a peer to test: see peerstore.Store.
func (b *Book) Feeler(now time.Time, q peerstore.Query) (peerstore.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.advanceClock(now, manyMoves)
	var tests []*entry
	for _, contest := range b.c.contests {
		if e := contest.incumbent; e.group != nil && b.c.settle(e) {
			tests = append(tests, e)
		}
	}
	x := choice{b: b, c: &b.c, q: q}
	if x.first(tests) {
		return x.r, true
	}
	x.q.Table = peerstore.New
	ok := x.learned()
	return x.r, ok
}

// A choice is one call of Next or Feeler. It holds the lock, but not while it asks the query's functions: so whatever
// it has found may have changed by the time that it takes it.
type choice struct {
	b *Book
	c *catalog
	q peerstore.Query
	r peerstore.Record // of the chosen peer
}

// ask asks the query, without the lock, whether it leaves e out, and whether it avoids e's group.
func (x *choice) ask(e *entry) (skip, avoid bool) {
	if x.q.Skip == nil && x.q.Avoid == nil {
		return false, false
	}
	id, group := e.id(), x.c.groupOf(e)
	x.b.mu.Unlock()
	defer x.b.mu.Lock()
	if x.q.Skip != nil && x.q.Skip(id) {
		return true, false
	}
	return false, x.q.Avoid != nil && x.q.Avoid(group)
}

// take chooses e, and reserves it if the query asks for that, unless e may no longer be dialed.
func (x *choice) take(e *entry) bool {
	if e.group == nil || e.due > x.c.now {
		return false
	}
	if x.q.Reserve && e.set(busy, true) {
		x.c.settleUp(e, change{})
	}
	x.r.Addresses = x.q.Room
	e.read(&x.r)
	return true
}

// first takes the first of a list that is not skipped.
func (x *choice) first(list []*entry) bool {
	for _, e := range list {
		if e.group == nil { // it may have been taken meanwhile
			continue
		}
		if skip, _ := x.ask(e); !skip && x.take(e) {
			return true
		}
	}
	return false
}

// trusted returns the trusted peers that are due, of which there are few, in random order.
func (x *choice) trusted() []*entry {
	all := slices.Clone(x.c.due.trusted.members)
	all = slices.DeleteFunc(all, func(e *entry) bool { return !x.c.settle(e) })
	x.c.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// maxDraws is how often a choice draws before it looks at all due peers, one after the other.
const maxDraws = 16

// learned takes a random learned peer that is neither skipped nor avoided, if a few draws find one; else it walks.
func (x *choice) learned() bool {
	for range maxDraws {
		e := x.draw()
		if e == nil {
			return false
		}
		if skip, avoid := x.ask(e); !skip && !avoid && x.take(e) {
			return true
		}
	}
	return x.walk()
}

// draw returns a random learned peer that is due; nil if there is none. Where a great many are filed as due and are not
// any more, it yields the lock now and then while it moves them.
func (x *choice) draw() *entry {
	t := x.q.Table
	for n := 1; ; n++ {
		e := x.c.due.draw(&x.q, x.c.random)
		switch {
		case e == nil:
			if !x.c.runDue(manyMoves) {
				return nil
			}
		case x.c.settle(e) && (t == peerstore.Any || e.table == t):
			return e
		}
		if n%manyMoves == 0 {
			x.b.yield()
		}
	}
}

// walk looks at all learned peers that are due, the farthest reach first, and takes the first that is neither skipped
// nor avoided. If there is none, it takes the first that is not skipped. Groups and peers may move while it asks, so it
// may miss some that move; one that it moves itself it asks for at once, as it may land where the walk has been.
func (x *choice) walk() bool {
	for x.c.runDue(manyMoves) {
		x.b.yield()
	}
	var avoided *entry           // the first one that is not skipped
	tables := x.c.random.IntN(2) // in either order
	for n := range x.c.due.parts {
		p := &x.c.due.parts[(len(x.c.due.parts)-1-n)^tables]
		for i := 0; i < len(p.groups) && (x.q.Table == peerstore.Any || x.q.Table == p.table); {
			g := p.groups[i]
			for j := 0; j < len(g.members); {
				e := g.members[j]
				due := x.c.settle(e)
				if e.group == g {
					j++
				} // else another one is in its place
				if !due {
					continue
				}
				skip, avoid := x.ask(e)
				switch {
				case skip:
				case avoid:
					avoided = cmp.Or(avoided, e)
				case x.take(e):
					return true
				}
			}
			if i < len(p.groups) && p.groups[i] == g { // else another one is there now
				i++
			}
		}
	}
	return avoided != nil && x.take(avoided)
}

// settle reports whether e, which is in a group of peers that may be dialed, may still be dialed. Time, bans and clocks
// that go back change that without touching e, so settle is where it shows: it files e anew if it may not be dialed or
// its rank is another one by now.
func (c *catalog) settle(e *entry) bool {
	if c.dueAt(e) > c.now || c.rankOf(e) != e.rank {
		c.file(e, change{})
	}
	return e.group != nil
}
