package peerstore

import (
	"math/rand/v2"
	"unsafe"
)

// dice are the random numbers of one draw of a peer. They are thrown a few draws ahead: so it is known which memory a later draw will read, as far as the book does not
// change until then, and loading it can begin. In a large book a draw waits for little else: for a group, its list of peers, one of these, and who told of it, one after
// the other.
type dice struct {
	table, group uint64
	members      [crowdLooks]uint32

	// What they choose as the book is now, for lookAhead alone.
	which int
	crowd *crowd // nil of a loner
	entry *entry
}

func (d *dice) roll(r *rand.Rand) {
	d.table, d.group = r.Uint64(), r.Uint64()
	for i := 0; i < crowdLooks; i += 2 {
		n := r.Uint64()
		d.members[i], d.members[i+1] = uint32(n), uint32(n>>32)
	}
}

// diceAhead is how many draws of the next are known: one for each thing that it reads.
const diceAhead = 5

// ahead are the dice of the next draw (0) or of one after it.
func (b *Book) ahead(i int) *dice { return &b.dice[(b.rolled+uint32(i))%uint32(len(b.dice))] }

// roll throws the dice of the draw after the last known one, in place of those that were used.
func (b *Book) roll() {
	b.ahead(diceAhead).roll(b.random)
	b.rolled++
}

// lookAhead begins to load what the next draws will read: of each the thing that what was loaded at the last draw leads to. Peers may have come and gone since then.
func (b *Book) lookAhead(t Table, reserve bool) {
	d := b.ahead(4)
	d.which, _ = b.part(t, d.table)
	if c := &b.crowds[d.which]; len(c.some) > 0 {
		prefetch(unsafe.Pointer(&c.some[below(d.group, len(c.some))]))
	}
	d = b.ahead(3)
	d.crowd, d.entry = nil, nil
	if c := &b.crowds[d.which]; len(c.some) > 0 {
		if ref := c.drawn(d); ref.isLoner() {
			d.entry = b.at(ref.slot())
			d.entry.prefetch()
		} else {
			d.crowd = c.all.at(uint32(ref))
			prefetch(unsafe.Pointer(d.crowd))
		}
	}
	d = b.ahead(2)
	if of := d.crowd; of != nil && len(of.members) > 0 {
		for _, random := range d.members {
			prefetch(unsafe.Pointer(of.at(random)))
		}
	}
	d = b.ahead(1)
	if of := d.crowd; of != nil && len(of.members) > 0 {
		d.entry = b.at(of.choose(d).slot())
		d.entry.prefetch()
	}
	d = b.ahead(0)
	e := d.entry
	if e == nil {
		return
	}
	b.prefetchSource(e)
	if reserve { // who takes its place in its group and in its set
		if of := d.crowd; of != nil && len(of.members) > 0 {
			prefetch(unsafe.Pointer(&b.at(of.members[len(of.members)-1].slot()).crowdPos))
		}
		if slots := b.sets[e.set].slots; int(e.pos) < len(slots) {
			prefetch(unsafe.Pointer(&slots[e.pos]))
		}
	}
}

// prefetch begins to load an entry.
func (e *entry) prefetch() { prefetch3(unsafe.Pointer(e)) }

// prefetchSource begins to load who told of e, which should be loaded.
func (b *Book) prefetchSource(e *entry) {
	if e.first.source != 0 {
		prefetch2(unsafe.Pointer(b.sources.at(e.first.source)))
	}
}

// drawn is the group that dice choose: of some there must be one.
func (c *crowds) drawn(d *dice) groupRef { return c.some[below(d.group, len(c.some))] }

// draw is the slot that dice choose.
func (c *crowds) draw(d *dice) uint32 {
	ref := c.drawn(d)
	if ref.isLoner() {
		return ref.slot()
	}
	return c.all.at(uint32(ref)).choose(d).slot()
}

// at is one of a group's peers, by a random number.
func (c *crowd) at(random uint32) *member {
	return &c.members[uint64(random)*uint64(len(c.members))>>32]
}

// choose compares a few of a group's peers by their levels.
func (c *crowd) choose(d *dice) member {
	best := *c.at(d.members[0])
	for _, random := range d.members[1:max(1, min(crowdLooks, len(c.members)))] {
		if o := *c.at(random); o.level() > best.level() {
			best = o
		}
	}
	return best
}
