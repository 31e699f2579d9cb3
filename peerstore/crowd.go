package peerstore

import (
	"math/bits"
	"unsafe"
)

// crowds are the peers of one table that may be dialed now, by network group. Next draws a group first, all groups alike, and then one of its peers: so what counts is
// how many groups somebody has, not how many addresses. (In a simulated attack by 90 % of the book from 16 groups of 400 that is the difference between a few
// and nearly all of the outbound links: docs/eclipse.md.)
//
// In most groups of a small book there is one peer. Such a loner has no list: it is found by its slot, and its entry holds its place. Once there has been another in its
// group it is one of a list, until that is empty.
type crowds struct {
	book *Book
	key  sipKey // secret, as remotes choose the groups
	at   cells  // by group
	all  slab[crowd]
	some []groupRef // groups that have a peer, in no order

	missed Group // was looked for last, and is not there

	pieces pieces[member]         // of the lists of members
	unused [pieceSizes][][]member // pieces of 2, 4, 8, ...
	taken  int                    // members that pieces have room for
}

// groupRef is a group: the number of a crowd, or a loner's slot.
type groupRef uint32

const loner groupRef = 1 << 31

func (r groupRef) isLoner() bool { return r&loner != 0 }
func (r groupRef) slot() uint32  { return uint32(r &^ loner) }

// alone, in entry.crowdPos, says that the peer is a loner. The rest is its place in crowds.some then, and entry.crowd the tag of its group.
const alone = 1 << 31

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

func (c *crowds) find(g Group) (ref groupRef, ok bool) {
	if g == c.missed && g.kind != noGroup {
		return 0, false
	}
	i, ok := c.at.find(c.tag(g), func(i uint32) bool {
		if ref := groupRef(i); ref.isLoner() {
			return c.book.groupOf(&c.book.at(ref.slot()).first) == g
		}
		return c.all.at(i).group == g
	})
	return groupRef(i), ok
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

// prefetch begins to load the crowd of a group, or its loner; nil when there is no crowd, or so it seems. A group that is not there is noted, so that find need not look again.
func (c *crowds) prefetch(g Group) *crowd {
	i, ok := c.at.find(c.tag(g), func(uint32) bool { return true })
	if !ok {
		c.missed = g
		return nil
	}
	if ref := groupRef(i); ref.isLoner() {
		c.book.at(ref.slot()).prefetch()
		return nil
	}
	of := c.all.at(i)
	prefetch(unsafe.Pointer(of))
	return of
}

// prefetch begins to load where the next peer is added.
func (c *crowd) prefetch() {
	if n := len(c.members); n > 0 {
		prefetch(unsafe.Pointer(&c.members[n-1]))
	}
}

// take makes a crowd without peers, and its number.
func (c *crowds) take(g Group, pos uint32) (id uint32, of *crowd) {
	id = c.all.take()
	if next, ok := c.all.upcoming(); ok {
		prefetch(unsafe.Pointer(c.all.at(next)))
	}
	of = c.all.at(id)
	of.group, of.pos = g, pos
	return id, of
}

// list makes known which peer or crowd a group is from now on, and returns its place in some.
func (c *crowds) list(tag uint32, ref groupRef) (pos uint32) {
	c.missed = Group{}
	c.at.put(tag, uint32(ref))
	c.some = append(c.some, ref)
	return uint32(len(c.some) - 1)
}

// unlist takes away a group that has no peer any more.
func (c *crowds) unlist(tag uint32, ref groupRef, pos uint32) {
	c.at.drop(tag, uint32(ref))
	end := len(c.some) - 1
	other := c.some[end]
	c.some[pos] = other
	if other.isLoner() {
		c.book.at(other.slot()).crowdPos = pos | alone
	} else {
		c.all.at(uint32(other)).pos = pos
	}
	c.some = c.some[:end]
}

// widen makes a crowd of a loner's group.
func (c *crowds) widen(g Group, ref groupRef) (id uint32, of *crowd) {
	slot := ref.slot()
	e := c.book.at(slot)
	pos := e.crowdPos &^ alone
	id, of = c.take(g, pos)
	c.some[pos] = groupRef(id)
	c.at.change(e.crowd, uint32(ref), id)
	of.members = append(c.grow(nil), memberOf(slot, e.set.level()))
	e.crowd, e.crowdPos = id, 0
	return id, of
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

// add puts a peer into its group: that of the address by which it may be dialed.
func (c *crowds) add(slot uint32, e *entry, address *known) {
	g := c.book.groupOf(address)
	id, of := e.crowd, (*crowd)(nil)
	if e.crowdPos&alone == 0 { // as a rule the peer was there before
		of = c.has(id)
	}
	if of == nil || of.group != g {
		ref, ok := c.find(g)
		switch {
		case ok && ref.isLoner():
			id, of = c.widen(g, ref)
		case ok:
			id = uint32(ref)
			of = c.all.at(id)
		case address == &e.first && address.other == 0: // its group can be told without a list as long as it is there
			e.crowd = c.tag(g)
			e.crowdPos = c.list(e.crowd, loner|groupRef(slot)) | alone
			return
		default:
			id, of = c.take(g, 0)
			of.pos = c.list(c.tag(g), groupRef(id))
		}
	}
	if len(of.members) == cap(of.members) {
		of.members = c.grow(of.members)
	}
	of.members = append(of.members, memberOf(slot, e.set.level()))
	e.crowd, e.crowdPos = id, uint32(len(of.members)-1)
}

// remove takes away a peer that add has put there.
func (c *crowds) remove(slot uint32, e *entry) {
	if e.crowdPos&alone != 0 {
		c.unlist(e.crowd, loner|groupRef(slot), e.crowdPos&^alone)
		return
	}
	of := c.all.at(e.crowd)
	last := uint32(len(of.members) - 1)
	if last == 0 {
		c.unlist(c.tag(of.group), groupRef(e.crowd), of.pos)
		c.release(of.members)
		c.all.give(e.crowd)
		return
	}
	moved := of.members[last]
	of.members[e.crowdPos] = moved
	of.members = of.members[:last]
	c.book.at(moved.slot()).crowdPos = e.crowdPos
}

// crowdOf is the group that a peer that may not be dialed now was in, and will be as a rule; nil when there is none.
func (b *Book) crowdOf(slot uint32) (c *crowds, id uint32) {
	e := b.at(slot)
	if which, ok := e.set.weighed(); ok && e.crowdPos&alone == 0 && e.crowd < b.crowds[which].all.next {
		return &b.crowds[which], e.crowd
	}
	return nil, 0
}

// joinCrowd puts e, which may be dialed now, into the crowd of its group: that of the address by which it will be.
func (b *Book) joinCrowd(slot uint32, e *entry) {
	if which, ok := e.set.weighed(); ok {
		b.crowds[which].add(slot, e, b.bestDue(e))
	}
}

func (b *Book) leaveCrowd(slot uint32, e *entry) {
	if which, ok := e.set.weighed(); ok {
		b.crowds[which].remove(slot, e)
	}
}
