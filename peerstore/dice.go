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
	which       int
	crowd, slot uint32
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
func (b *Book) ahead(i int) *dice { return &b.dice[(b.rolled+i)%diceAhead] }

// roll throws the dice of the draw after the last known one, in place of those that were used.
func (b *Book) roll() {
	b.ahead(0).roll(b.random)
	b.rolled = (b.rolled + 1) % diceAhead
}

// lookAhead begins to load what the next draws will read: of each the thing that what was loaded at the last draw leads to. Peers may have come and gone since then.
func (b *Book) lookAhead(t Table, reserve bool) {
	d := b.ahead(4)
	d.which, _ = b.part(t, d.table)
	if c := &b.crowds[d.which]; len(c.some) > 0 {
		prefetch(unsafe.Pointer(&c.some[below(d.group, len(c.some))]))
	}
	d = b.ahead(3)
	if c := &b.crowds[d.which]; len(c.some) > 0 {
		d.crowd = c.drawn(d)
		prefetch(unsafe.Pointer(c.all.at(d.crowd)))
	}
	d = b.ahead(2)
	if of := b.crowds[d.which].has(d.crowd); of != nil {
		for _, random := range d.members {
			prefetch(unsafe.Pointer(of.at(random)))
		}
	}
	d = b.ahead(1)
	if of := b.crowds[d.which].has(d.crowd); of != nil {
		d.slot = of.choose(d).slot()
		b.prefetch(d.slot)
	}
	d = b.ahead(0)
	b.prefetchSource(d.slot)
	if of := b.crowds[d.which].has(d.crowd); reserve && of != nil { // who takes its place in its group and in its set
		prefetch(unsafe.Pointer(&b.at(of.members[len(of.members)-1].slot()).crowdPos))
		if e := b.at(d.slot); int(e.pos) < len(b.sets[e.set].slots) {
			prefetch(unsafe.Pointer(&b.sets[e.set].slots[e.pos]))
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

// prefetchSource begins to load who told of a peer, whose entry should be loaded.
func (b *Book) prefetchSource(slot uint32) {
	if e := b.at(slot); e.first.source != 0 {
		from := unsafe.Pointer(b.sources.at(e.first.source))
		prefetch(from)
		prefetch(unsafe.Add(from, 64))
	}
}

// drawn is the group that dice choose: of some there must be one.
func (c *crowds) drawn(d *dice) (id uint32) { return c.some[below(d.group, len(c.some))] }

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
