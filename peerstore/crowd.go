package peerstore

// crowds are the peers of one table that may be dialed now, by network group. Next draws a group first, all groups alike, and then one of its peers: so what counts is
// how many groups somebody has, not how many addresses. (In a simulated attack by 90 % of the book from 16 groups of 400 that is the difference between a few
// and nearly all of the outbound links: docs/eclipse.md.)
type crowds struct {
	at   map[Group]uint32 // in all
	all  []crowd
	free []uint32 // of all
	some []uint32 // of all: those that have a peer, in no order
}

// crowd are the peers of one group.
type crowd struct {
	group Group
	pos   uint32   // in crowds.some
	slots []uint32 // in no order
}

// crowdLooks is how many peers of a group Next compares by their level: the best of them is taken.
const crowdLooks = 4

// add puts a slot into the crowd of its group, and returns which that is and where it stands there.
func (c *crowds) add(g Group, slot uint32) (id, pos uint32) {
	id, ok := c.at[g]
	if !ok {
		if n := len(c.free); n > 0 {
			id = c.free[n-1]
			c.free = c.free[:n-1]
		} else {
			id = uint32(len(c.all))
			c.all = append(c.all, crowd{})
		}
		if c.at == nil {
			c.at = make(map[Group]uint32)
		}
		c.at[g] = id
		c.all[id] = crowd{group: g, pos: uint32(len(c.some))}
		c.some = append(c.some, id)
	}
	of := &c.all[id]
	of.slots = append(of.slots, slot)
	return id, uint32(len(of.slots) - 1)
}

// remove takes away who stands at a place of a crowd, and returns who stands there now.
func (c *crowds) remove(id, pos uint32) (moved uint32, some bool) {
	of := &c.all[id]
	last := uint32(len(of.slots) - 1)
	moved = of.slots[last]
	of.slots[pos] = moved
	of.slots = of.slots[:last]
	if last > 0 {
		return moved, pos != last
	}
	end := len(c.some) - 1
	other := c.some[end]
	c.some[of.pos], c.all[other].pos = other, of.pos
	c.some = c.some[:end]
	delete(c.at, of.group)
	c.free = append(c.free, id)
	of.slots = nil
	return moved, false
}

// joinCrowd puts e, which may be dialed now, into the crowd of its group: that of the address by which it will be.
func (b *Book) joinCrowd(slot uint32, e *entry) {
	if which, ok := e.set.weighed(); ok {
		e.crowd, e.crowdPos = b.crowds[which].add(b.groupOf(b.bestDue(e)), slot)
	}
}

func (b *Book) leaveCrowd(e *entry) {
	if which, ok := e.set.weighed(); ok {
		if moved, some := b.crowds[which].remove(e.crowd, e.crowdPos); some {
			b.at(moved).crowdPos = e.crowdPos
		}
	}
}

// chooseOf draws a peer of a table that has some.
func (b *Book) chooseOf(which int) uint32 {
	c := &b.crowds[which]
	slots := c.all[c.some[b.random.IntN(len(c.some))]].slots
	best := slots[b.random.IntN(len(slots))]
	for range min(crowdLooks, len(slots)) - 1 {
		if o := slots[b.random.IntN(len(slots))]; b.at(o).set.level() > b.at(best).set.level() {
			best = o
		}
	}
	return best
}
