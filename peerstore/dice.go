package peerstore

import (
	"math/rand/v2"
	"unsafe"
)

// dice are the random numbers of one draw of a peer. They are thrown a few draws ahead: so it is known which memory a later draw will read, as far as the book does not
// change until then, and loading it can begin. In a large book a draw waits for little else: for a group, its list of peers, and one of these, one after the other.
type dice struct {
	table, group uint64
	members      [crowdLooks]uint32
}

func (d *dice) roll(r *rand.Rand) {
	d.table, d.group = r.Uint64(), r.Uint64()
	for i := 0; i < crowdLooks; i += 2 {
		n := r.Uint64()
		d.members[i], d.members[i+1] = uint32(n), uint32(n>>32)
	}
}

// diceAhead is how many draws of the next are known: one for each thing that it reads.
const diceAhead = 3

// roll gives the dice of the draw after the last known one, in place of those that were used.
func (b *Book) roll() {
	copy(b.dice[:], b.dice[1:])
	b.dice[diceAhead-1].roll(b.random)
}

// lookAhead begins to load what the next draws will read.
func (b *Book) lookAhead(t Table) {
	for i := range b.dice {
		d := &b.dice[i]
		which, ok := b.part(t, d.table)
		if !ok {
			return
		}
		c := &b.crowds[which]
		switch crowd := c.drawn(d); i {
		case 0:
			b.prefetch(c.choose(d).slot())
		case 1:
			prefetch(unsafe.Pointer(crowd.at(d.members[0])))
			prefetch(unsafe.Pointer(crowd.at(d.members[1])))
		case 2:
			prefetch(unsafe.Pointer(crowd))
		}
	}
}

// prefetch begins to load an entry.
func (b *Book) prefetch(slot uint32) {
	e := unsafe.Pointer(b.at(slot))
	prefetch(e)
	prefetch(unsafe.Add(e, 64))
	prefetch(unsafe.Add(e, 128))
}

// drawn is the group that dice choose: of some there must be one.
func (c *crowds) drawn(d *dice) *crowd { return c.all.at(c.some[below(d.group, len(c.some))]) }

// at is one of a group's peers, by a random number.
func (c *crowd) at(random uint32) *member {
	return &c.members[uint64(random)*uint64(len(c.members))>>32]
}

// choose draws a group, and compares a few of its peers by their levels.
func (c *crowds) choose(d *dice) member {
	crowd := c.drawn(d)
	best := *crowd.at(d.members[0])
	for _, random := range d.members[1:max(1, min(crowdLooks, len(crowd.members)))] {
		if o := *crowd.at(random); o.level() > best.level() {
			best = o
		}
	}
	return best
}
