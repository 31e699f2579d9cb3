package book

import (
	"bytes"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/btree"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// due holds the peers that may be dialed now, by network group, and those that may be dialed later, by when.
type due struct {
	trusted dueGroup          // all trusted peers that may be dialed, in one group
	parts   [2 * reaches]part // two tables of each reach
	waiting *btree.BTreeG[waiter]
}

// part holds the learned peers of one table that are alike in their reach. A draw takes a group first, all groups
// alike, and then one of its peers: what counts is how many groups an attacker has, not how many addresses. (In
// a simulated attack by 90 % of the book from 16 groups of 400 that is the difference between a few and nearly all of
// the outbound links: docs/eclipse.md.)
type part struct {
	table  peerstore.Table
	groups []*dueGroup // in no order; each has a peer
	byID   map[peerstore.Group]*dueGroup
}

// dueGroup holds the peers of one network group that may be dialed.
type dueGroup struct {
	id      peerstore.Group
	members bag
	part    *part  // nil: the trusted ones
	place   uint32 // in part.groups
}

// waiter is an entry in the order of the waiting ones.
type waiter struct {
	due int64
	e   *entry
}

func (w waiter) less(o waiter) bool {
	if w.due != o.due {
		return w.due < o.due
	}
	if c := bytes.Compare(w.e.key.raw[:], o.e.key.raw[:]); c != 0 {
		return c < 0
	}
	return !w.e.key.hashed && o.e.key.hashed
}

// degree of the search trees: nodes of 31 to 63 items.
const degree = 32

func newDue() due {
	d := due{waiting: btree.NewG(degree, waiter.less)}
	for i := range d.parts {
		d.parts[i] = part{table: peerstore.Table(i%2 + 1), byID: make(map[peerstore.Group]*dueGroup)}
	}
	return d
}

// group returns the group of a part by its id, which it adds if needed.
func (p *part) group(id peerstore.Group) *dueGroup {
	g := p.byID[id]
	if g == nil {
		g = &dueGroup{id: id, part: p, place: uint32(len(p.groups))}
		p.byID[id] = g
		p.groups = append(p.groups, g)
	}
	return g
}

func (p *part) drop(g *dueGroup) {
	delete(p.byID, g.id)
	end := len(p.groups) - 1
	p.groups[g.place] = p.groups[end]
	p.groups[g.place].place = g.place
	p.groups[end] = nil
	p.groups = p.groups[:end]
}

// draw chooses a learned peer at random: of the farthest reach that any due one has; of the tried or the new table, by
// how many links there are; of any network group; the likelier the higher its level. The more peers a draw refuses, the
// less choosy it gets, as in Bitcoin's address manager. It returns nil if no peer is due.
func (d *due) draw(q *peerstore.Query, random *rand.Rand) *entry {
	for i := len(d.parts) - 2; i >= 0; i -= 2 {
		fresh, tried := &d.parts[i], &d.parts[i+1]
		hasFresh := len(fresh.groups) > 0 && q.Table != peerstore.Tried
		hasTried := len(tried.groups) > 0 && q.Table != peerstore.New
		p, best := fresh, middleLevel // a peer of which nothing is known
		switch {
		case !hasFresh && !hasTried:
			continue
		case hasTried && (!hasFresh || random.IntN(10) > min(q.Links, 8)):
			p, best = tried, middleLevel+daySuccess
		}
		for chance := 1.0; ; chance *= 1.2 {
			g := p.groups[random.IntN(len(p.groups))]
			e := g.members[random.IntN(len(g.members))]
			if missing := max(best-e.rank.level(), 0); missing == 0 || random.Float64() < math.Ldexp(chance, -missing) {
				return e
			}
		}
	}
	return nil
}

// dueAt returns when e may be dialed: never if it is busy or has no address.
func (c *catalog) dueAt(e *entry) int64 {
	if e.is(busy) || len(e.addresses) == 0 {
		return never
	}
	first := int64(never)
	for i := range e.addresses {
		a := &e.addresses[i]
		first = min(first, max(a.notBefore, c.bans.endOfAddress(a)))
	}
	return max(first, e.notBefore, e.details.quarantined, c.bans.endOfNode(&e.key))
}

// groupOf returns the network group by which e is due: that of the address that is to be dialed first, of those that
// may be dialed now.
func (c *catalog) groupOf(e *entry) peerstore.Group {
	ready := func(a *address) bool { return a.notBefore <= c.now && c.bans.endOfAddress(a) <= c.now }
	best := &e.addresses[0]
	for i := range e.addresses[1:] {
		a := &e.addresses[1+i]
		if now := ready(a); now != ready(best) {
			if now {
				best = a
			}
		} else if a.better(best) {
			best = a
		}
	}
	return c.limits.Groups.Of(e.where(best))
}

// fileDue files e in a group if it may be dialed now, else by when it may be.
func (c *catalog) fileDue(e *entry) {
	at, was := c.dueAt(e), e.group
	var g *dueGroup
	switch {
	case at > c.now:
	case e.is(trusted):
		g = &c.due.trusted
	default:
		g = c.due.parts[2*e.reach()+reach(e.table-1)].group(c.groupOf(e))
	}
	if g == was && (g != nil || e.due == at) {
		e.due = at
		return
	}
	if was != nil {
		was.members.remove(byGroup, e)
		if was.part != nil && len(was.members) == 0 {
			was.part.drop(was)
		}
	} else if e.due != never {
		c.due.waiting.Delete(waiter{e.due, e})
	}
	e.group, e.due = g, at
	if g != nil {
		g.members.add(byGroup, e)
	} else if at != never {
		c.due.waiting.ReplaceOrInsert(waiter{at, e})
	}
}

// runDue files up to moves peers anew whose time has come. It reports whether there were any.
func (c *catalog) runDue(moves int) (some bool) {
	for range moves {
		first, ok := c.due.waiting.Min()
		if !ok || first.due > c.now {
			break
		}
		c.file(first.e, change{})
		some = true
	}
	return some
}

// review files the waiting peers with an address in a network anew, as its ban has ended before its time: up to a few
// behind the waiter after. It returns the last one that it has looked at, and false if there are no more.
func (c *catalog) review(net netip.Prefix, after waiter) (last waiter, more bool) {
	var page [manyMoves]*entry
	n := 0
	c.due.waiting.AscendGreaterOrEqual(after, func(w waiter) bool {
		if w == after {
			return true
		}
		page[n] = w.e
		n++
		last, more = w, n == len(page)
		return !more
	})
	for _, e := range page[:n] {
		for i := range e.addresses {
			if ip, ok := e.addresses[i].addr(); ok && net.Contains(ip) {
				c.file(e, change{})
				break
			}
		}
	}
	return last, more
}

// NextDue returns when the next peer that is neither due nor busy becomes due: see peerstore.Store.
func (b *Book) NextDue(now time.Time) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	c.advanceClock(now, 0)
	for c.runDue(manyMoves) {
		b.yield()
	}
	first, ok := c.due.waiting.Min()
	if !ok || first.due == forever {
		return time.Time{}, false
	}
	return TimeOf(first.due), true
}
