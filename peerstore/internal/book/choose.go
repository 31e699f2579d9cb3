package book

import (
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// maxDraws is how often Next draws before it looks at all due peers, one after the other.
const maxDraws = 16

// Next chooses a peer that may be dialed at now: see peerstore.Store. As a rule the first draw is good, in O(1). Only
// if nearly all due peers are skipped or avoided it walks through them.
func (b *Book) Next(now time.Time, q peerstore.Query) (r peerstore.Record, ok bool) {
	r.Addresses = q.Room[:0]
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	c.advanceClock(now, manyMoves)
	if q.Table == peerstore.Any && b.firstOf(c.dueTrusted(), &q, &r) {
		return r, true
	}
	for range maxDraws {
		e := b.draw(q.Table)
		if e == nil {
			return peerstore.Record{}, false
		}
		if b.wanted(e, &q) && b.take(e, &q, &r) {
			return r, true
		}
	}
	ok = b.walk(&q, &r)
	return r, ok
}

// Feeler chooses a peer to test: see peerstore.Store.
func (b *Book) Feeler(now time.Time, q peerstore.Query) (peerstore.Record, bool) {
	r := peerstore.Record{Addresses: q.Room[:0]}
	b.mu.Lock()
	b.c.advanceClock(now, manyMoves)
	var tests []*entry
	for _, x := range b.c.contests {
		if e := x.incumbent; e.group != nil && b.c.settle(e) {
			tests = append(tests, e)
		}
	}
	ok := b.firstOf(tests, &q, &r)
	b.mu.Unlock()
	if ok {
		return r, true
	}
	q.Table = peerstore.New
	return b.Next(now, q)
}

// yield lets other callers have the lock in between.
func (b *Book) yield() {
	b.mu.Unlock()
	b.mu.Lock()
}

// unlocked calls fn without the lock.
func (b *Book) unlocked(fn func() bool) bool {
	b.mu.Unlock()
	defer b.mu.Lock()
	return fn()
}

// skipped reports whether q leaves e out. It asks without the lock.
func (b *Book) skipped(e *entry, q *peerstore.Query) bool {
	if q.Skip == nil {
		return false
	}
	id := e.id()
	return b.unlocked(func() bool { return q.Skip(id) })
}

// wanted reports whether e is due and q neither leaves it out nor avoids it. It asks without the lock.
func (b *Book) wanted(e *entry, q *peerstore.Query) bool {
	if e.group == nil { // it has changed since it was found
		return false
	}
	if q.Avoid == nil {
		return !b.skipped(e, q)
	}
	group := b.c.groupOf(e)
	return !b.skipped(e, q) && !b.unlocked(func() bool { return q.Avoid(group) })
}

// take reads e into r and reserves it if q asks for that, unless e may no longer be dialed.
func (b *Book) take(e *entry, q *peerstore.Query, r *peerstore.Record) bool {
	if e.group == nil || e.due > b.c.now {
		return false
	}
	if q.Reserve {
		b.c.setBusy(e, true)
	}
	e.read(r)
	return true
}

// firstOf takes the first of a list that q does not leave out.
func (b *Book) firstOf(list []*entry, q *peerstore.Query, r *peerstore.Record) bool {
	for _, e := range list {
		if !b.skipped(e, q) && b.take(e, q, r) {
			return true
		}
	}
	return false
}

// dueTrusted returns the trusted peers that are due, of which there are few, in random order.
func (c *catalog) dueTrusted() []*entry {
	if len(c.due.trusted.members) == 0 {
		return nil
	}
	all := slices.Clone(c.due.trusted.members)
	all = slices.DeleteFunc(all, func(e *entry) bool { return !c.settle(e) })
	c.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// settle reports whether e, which is filed as due, is due. If it is not (a network was banned, or the clock went back),
// has expired or has another rank by now, settle moves it to where it belongs.
func (c *catalog) settle(e *entry) bool {
	switch {
	case c.expired(e):
		c.remove(e)
		return false
	case c.dueAt(e) > c.now || c.rankOf(e) != e.rank:
		c.file(e, change{})
	}
	return e.group != nil
}

// draw chooses a learned peer of a table at random; nil if none is due. Where a great many are filed as due and are not
// any more, it yields the lock now and then while it moves them.
func (b *Book) draw(t peerstore.Table) *entry {
	for n := 1; ; n++ {
		e := b.c.due.draw(t, b.c.random)
		switch {
		case e == nil:
			if !b.c.runDue(manyMoves) {
				return nil
			}
		case b.c.settle(e) && (t == peerstore.Any || e.table == t):
			return e
		}
		if n%manyMoves == 0 {
			b.yield()
		}
	}
}

// walk looks at all learned peers that are due, unroutable ones last, and takes the first that is neither skipped nor
// avoided, else the first that is not skipped.
func (b *Book) walk(q *peerstore.Query, r *peerstore.Record) bool {
	c := &b.c
	for c.runDue(manyMoves) {
		b.yield()
	}
	var avoided *entry
	first := int(c.random.Uint64() & 1)
	for far := 1; far >= 0; far-- {
		for _, table := range [...]int{first, 1 - first} {
			if q.Table != peerstore.Any && int(q.Table) != table+1 {
				continue
			}
			p := &c.due.parts[far][table]
			for group, member := 0, 0; ; {
				var page []*entry
				page, group, member = c.page(p, group, member)
				if len(page) == 0 {
					break
				}
				for _, e := range page {
					if b.wanted(e, q) {
						if b.take(e, q, r) {
							return true
						}
					} else if avoided == nil && e.group != nil && !b.skipped(e, q) {
						avoided = e
					}
				}
			}
		}
	}
	return avoided != nil && b.take(avoided, q, r)
}

// page returns some due peers of a part, from a member of a group on, and where to go on. Groups and members may move
// while the lock is yielded; so a walk may miss some that move.
func (c *catalog) page(p *part, group, member int) (page []*entry, nextGroup, nextMember int) {
	for group < len(p.groups) && len(page) < 32 {
		g := p.groups[group]
		if member >= len(g.members) {
			group, member = group+1, 0
			continue
		}
		e := g.members[member]
		if c.settle(e) && e.group == g { // else another one is there now
			page = append(page, e)
			member++
		}
	}
	return page, group, member
}
