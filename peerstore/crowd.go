package peerstore

import (
	"math/bits"
	"unsafe"
)

// crowds are the peers of one table that may be dialed now, by network group. Next draws a group first, all groups alike, and then one of its peers: so what counts is
// how many groups somebody has, not how many addresses. (In a simulated attack by 90 % of the book from 16 groups of 400 that is the difference between a few
// and nearly all of the outbound links: docs/eclipse.md.)
type crowds struct {
	key  sipKey // secret, as remotes choose the groups
	at   cells  // in all, by group
	all  slab[crowd]
	some []uint32 // of all: those that have a peer, in no order

	missed Group // was looked for last, and is not there

	pieces pieces[member]         // of the lists of members
	unused [pieceSizes][][]member // pieces of 2, 4, 8, ...
	taken  int                    // members that pieces have room for
}

// crowd are the peers of one group.
type crowd struct {
	group   Group
	members []member // in no order
	pos     uint32   // in crowds.some
}

// Lists of few members are pieces of larger arrays, as there are very many of them.
const (
	pieceSizes = 6 // 2, 4, ... 64 members
	mostPiece  = 1 << pieceSizes
	leastArray = 64
	mostArray  = 1 << 18 // 1 MiB of members
)

// member is a peer's level and slot in one number, so that peers are compared without a look at their entries, which lie far apart in memory.
type member uint32

const slotBits = 27

func memberOf(slot uint32, level int) member { return member(level<<slotBits) | member(slot) }

func (m member) slot() uint32 { return uint32(m) & (1<<slotBits - 1) }
func (m member) level() int   { return int(m >> slotBits) }

// crowdLooks is how many peers of a group Next compares by their level: the best of them is taken.
const crowdLooks = 4

// tag hashes a group.
func (c *crowds) tag(g Group) uint32 {
	hi, lo := bits.Mul64(g.value^c.key[0], c.key[1]+uint64(g.kind)<<1|1)
	return uint32(hi ^ lo)
}

func (c *crowds) find(g Group) (id uint32, ok bool) {
	if g == c.missed && g.kind != noGroup {
		return 0, false
	}
	return c.at.find(c.tag(g), func(id uint32) bool { return c.all.at(id).group == g })
}

// has is the crowd with a number; nil when there is none.
func (c *crowds) has(id uint32) *crowd {
	if id < c.all.next {
		if of := c.all.at(id); len(of.members) > 0 {
			return of
		}
	}
	return nil
}

// prefetch begins to load the crowd of a group; nil when there is none, or so it seems.
func (c *crowds) prefetch(g Group) *crowd {
	id, ok := c.at.find(c.tag(g), func(uint32) bool { return true })
	if !ok {
		c.missed = g
		return nil
	}
	of := c.all.at(id)
	prefetch(unsafe.Pointer(of))
	return of
}

// prefetch begins to load where the next peer is added.
func (c *crowd) prefetch() {
	if n := len(c.members); n > 0 {
		prefetch(unsafe.Pointer(&c.members[n-1]))
	}
}

// take makes a crowd of a group that has none.
func (c *crowds) take(g Group) (id uint32, of *crowd) {
	c.missed = Group{}
	id = c.all.take()
	if next, ok := c.all.upcoming(); ok {
		prefetch(unsafe.Pointer(c.all.at(next)))
	}
	c.at.put(c.tag(g), id)
	of = c.all.at(id)
	of.group, of.pos = g, uint32(len(c.some))
	c.some = append(c.some, id)
	return id, of
}

// give lets a crowd without peers go.
func (c *crowds) give(id uint32) {
	of := c.all.at(id)
	end := len(c.some) - 1
	other := c.some[end]
	c.some[of.pos], c.all.at(other).pos = other, of.pos
	c.some = c.some[:end]
	c.at.drop(c.tag(of.group), id)
	c.release(of.members)
	c.all.give(id)
}

// grow makes room for one more in a full list.
func (c *crowds) grow(members []member) []member {
	n := max(2*len(members), 2)
	if n > mostPiece {
		more := push(members, 0)[:len(members)]
		c.release(members)
		return more
	}
	var more []member
	if unused := &c.unused[bits.Len(uint(n))-2]; len(*unused) > 0 {
		end := len(*unused) - 1
		more = (*unused)[end]
		*unused = (*unused)[:end]
	} else {
		more = c.pieces.take(n, min(max(c.taken/16, leastArray), mostArray))
		c.taken += n
	}
	more = append(more[:0], members...)
	c.release(members)
	return more
}

// release keeps the piece of a list that is not used any more.
func (c *crowds) release(members []member) {
	if n := cap(members); n > 0 && n <= mostPiece {
		unused := &c.unused[bits.Len(uint(n))-2]
		*unused = append(*unused, members)
	}
}

// add puts a peer into the crowd of its group, and returns which that is and where it stands there. guess is which it may be: as a rule the peer was there before.
func (c *crowds) add(g Group, m member, guess uint32) (id, pos uint32) {
	of := c.has(guess)
	if id = guess; of == nil || of.group != g {
		var ok bool
		if id, ok = c.find(g); ok {
			of = c.all.at(id)
		} else {
			id, of = c.take(g)
		}
	}
	if len(of.members) == cap(of.members) {
		of.members = c.grow(of.members)
	}
	of.members = append(of.members, m)
	return id, uint32(len(of.members) - 1)
}

// remove takes away who stands at a place of a crowd, and returns who stands there now.
func (c *crowds) remove(id, pos uint32) (moved uint32, some bool) {
	of := c.all.at(id)
	last := uint32(len(of.members) - 1)
	of.members[pos] = of.members[last]
	of.members = of.members[:last]
	if last == 0 {
		c.give(id)
		return 0, false
	}
	if pos == last {
		return 0, false
	}
	return of.members[pos].slot(), true
}

// crowdOf is the group that a peer that may not be dialed now was in, and will be as a rule; nil when there is none.
func (b *Book) crowdOf(slot uint32) (c *crowds, id uint32) {
	e := b.at(slot)
	if which, ok := e.set.weighed(); ok && e.crowd < b.crowds[which].all.next {
		return &b.crowds[which], e.crowd
	}
	return nil, 0
}

// joinCrowd puts e, which may be dialed now, into the crowd of its group: that of the address by which it will be.
func (b *Book) joinCrowd(slot uint32, e *entry) {
	if which, ok := e.set.weighed(); ok {
		e.crowd, e.crowdPos = b.crowds[which].add(b.groupOf(b.bestDue(e)), memberOf(slot, e.set.level()), e.crowd)
	}
}

func (b *Book) leaveCrowd(e *entry) {
	if which, ok := e.set.weighed(); ok {
		if moved, some := b.crowds[which].remove(e.crowd, e.crowdPos); some {
			b.at(moved).crowdPos = e.crowdPos
		}
	}
}
