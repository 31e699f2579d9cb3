package peerstore

import (
	"encoding/binary"
	"unsafe"
)

// Learned peers with an address are in one of two tables: new ones of which we were told, tried ones that were dialed with success. Each table is made of
// buckets of bucketSize places. Which bucket a peer belongs to follows from a secret key, its address's network group, and (in the new table) the network group
// of who told us, so that whoever controls few groups reaches few buckets, and cannot know which:
//
//	new    one source group reaches 1/32 of the buckets (at least 8), one address group told by one source group 1/4096 (at least one bucket)
//	tried  one address group reaches 1/32 of the buckets
//
// The new table has places for twice MaxPeers, the tried table for half as many, so the numbers of buckets follow MaxPeers: with 100,000 peers there are 3,125
// and 782, of which a source group fills 98 (6,272 places), an address group 25 (1,600 places) of the tried ones.
//
// In a full bucket the new peer takes the place of a worse one, if a random look finds one; else it is not learned. A bucket of the tried table never gives a
// place away without a test: see contest.
const (
	bucketSize    = 64
	newPlaces     = 2 // times MaxPeers
	triedPlaces   = 2 // MaxPeers divided by it
	sourceShare   = 32
	pairShare     = 4096
	groupShare    = 32
	fewestBuckets = 64
	fewestReach   = 8 // buckets that a source group reaches in a small table, so that a small network is learned from few
	victimLooks   = 8 // how many peers are compared when one has to go
)

// buckets is one table.
type buckets struct {
	heads []head
	all   slab[bucket]
}

// bucket holds slots in its first places.
type bucket [bucketSize]uint32

// head is how many places of a bucket are taken, and above that the bucket's number in all, plus one; 0 until its first peer comes. It is one number, so that it is one
// place in memory that an Add waits for.
type head uint32

const usedBits = 7

func (h head) used() int { return int(h & (1<<usedBits - 1)) }

func newBuckets(places int) buckets {
	n := max((places+bucketSize-1)/bucketSize, fewestBuckets)
	return buckets{heads: array[head](n)}
}

// cells are the places of a bucket that has had a peer.
func (t *buckets) cells(bucket int) *bucket { return t.all.at(uint32(t.heads[bucket]>>usedBits) - 1) }

func (t *buckets) full(bucket int) bool { return t.heads[bucket].used() == bucketSize }

// put places a slot in a bucket that is not full, and returns its cell.
func (t *buckets) put(bucket int, slot uint32) (cell uint32) {
	if t.heads[bucket] == 0 {
		t.heads[bucket] = head(t.all.take()+1) << usedBits
	}
	i := t.heads[bucket].used()
	t.cells(bucket)[i] = slot
	t.heads[bucket]++
	return uint32(bucket*bucketSize) + uint32(i)
}

// take frees a cell, by moving the bucket's last peer there. It returns that one.
func (t *buckets) take(cell uint32) (last uint32) {
	bucket := int(cell / bucketSize)
	t.heads[bucket]--
	cells := t.cells(bucket)
	last = cells[t.heads[bucket].used()]
	cells[cell%bucketSize] = last
	return last
}

func (b *Book) tableOf(t Table) *buckets { return &b.tables[t-1] }

// What the first word begins with that the key hashes, so that no two uses of it give the same.
const (
	sipAddress = iota + 1
	sipPair
	sipNew
	sipTried
)

// bucketOf is the bucket of a table that e belongs to: by its first address in the new table, and in the tried table by the one that worked last.
func (b *Book) bucketOf(e *entry, t Table) int {
	k := &e.first
	if t == New {
		return b.newBucketOf(k)
	}
	for o := b.nextOf(k); o != nil; o = b.nextOf(o) {
		if o.lastWorked > k.lastWorked {
			k = o
		}
	}
	n := len(b.tables[Tried-1].heads)
	group, turn := b.groupOf(k), b.turnOf(k, n/groupShare)
	return below(b.key.of(sipTried|uint64(group.kind)<<8|uint64(turn)<<32, group.value), n)
}

// newBucketOf is the bucket of the new table that a peer with the first address k belongs to.
func (b *Book) newBucketOf(k *known) int {
	return b.newBucket(k, b.groupOf(k), b.sources.at(k.source).group)
}

// newBucket is newBucketOf where the groups of k and of who told of it are known.
func (b *Book) newBucket(k *known, group, source Group) int {
	n := len(b.tables[New-1].heads)
	turn := b.turnOf(k, n/pairShare)
	pair := b.key.of(sipPair|uint64(group.kind)<<8|uint64(source.kind)<<16|uint64(turn)<<32, group.value, source.value)
	return below(b.key.of(sipNew|uint64(source.kind)<<8|uint64(below(pair, max(n/sourceShare, fewestReach)))<<32, source.value), n)
}

// prefetch begins to load the head of a bucket.
func (t *buckets) prefetch(bucket int) { prefetch(unsafe.Pointer(&t.heads[bucket])) }

// prefetchPlace begins to load the next free place of a bucket.
func (t *buckets) prefetchPlace(bucket int) {
	if h := t.heads[bucket]; h != 0 && h.used() < bucketSize {
		prefetch(unsafe.Pointer(&t.cells(bucket)[h.used()]))
	}
}

// turnOf chooses one of the buckets of a group by where k leads: nodes at one place share a bucket.
func (b *Book) turnOf(k *known, buckets int) int {
	if buckets <= 1 {
		return 0
	}
	if k.other != 0 {
		return below(b.key.of(sipAddress, hash64("", b.others.at(k.other-1).Host()), uint64(b.others.at(k.other-1).Port())), buckets)
	}
	return below(b.key.of(sipAddress, binary.BigEndian.Uint64(k.ip[:8]), binary.BigEndian.Uint64(k.ip[8:]), uint64(k.port)), buckets)
}

// enter places e in its bucket of the table, if that has room.
func (b *Book) enter(slot uint32, e *entry, t Table) bool {
	return b.enterAt(slot, e, t, b.bucketOf(e, t))
}

func (b *Book) enterAt(slot uint32, e *entry, t Table, bucket int) bool {
	if !b.limits.Without.Buckets {
		table := b.tableOf(t)
		if table.full(bucket) {
			return false
		}
		e.cell = table.put(bucket, slot) + 1
	}
	b.toTable(e, t)
	return true
}

// exit takes e out of its bucket.
func (b *Book) exit(e *entry) {
	if e.cell == 0 {
		return
	}
	last := b.tableOf(e.table).take(e.cell - 1)
	b.at(last).cell = e.cell
	e.cell = 0
}

// enterNew places e in its bucket of the new table. In a full one it takes the place of a worse peer, if there is one among a few, and with force of any that is
// not busy; else it has no place: false.
func (b *Book) enterNew(slot uint32, e *entry, force bool) bool {
	return b.enterNewAt(slot, e, b.newBucketOf(&e.first), force)
}

func (b *Book) enterNewAt(slot uint32, e *entry, bucket int, force bool) bool {
	if b.enterAt(slot, e, New, bucket) {
		return true
	}
	cells := b.tableOf(New).cells(bucket)
	least := b.levelOf(e)
	victim, found := uint32(0), false
	for i := range bucketSize {
		if i == victimLooks && (!force || found) {
			break
		}
		other := cells[b.random.IntN(bucketSize)]
		if i >= victimLooks {
			other = cells[i] // some have been looked at
		}
		o := b.at(other)
		if o.set < firstSet { // busy, or on its way
			continue
		}
		if level := o.set.level(); level < least || force && !found {
			victim, found, least = other, true, level
		}
	}
	if !found {
		return false
	}
	b.remove(victim, b.at(victim))
	return b.enterAt(slot, e, New, bucket)
}

// retable brings e to the table and bucket that it belongs to. Trusted and unconditional peers have a table, by whether they have worked, and no bucket. A
// learned peer without a place (all others in its bucket are busy) asks again at its next change.
func (b *Book) retable(slot uint32, e *entry) {
	has, was := b.lastWorked(e) != 0, e.table
	switch {
	case e.first.source == 0:
		b.exit(e)
		b.toTable(e, Any)
	case e.is(kept):
		b.exit(e)
		if has {
			b.toTable(e, Tried)
		} else {
			b.toTable(e, New)
		}
	default:
		b.retableLearned(slot, e, has)
	}
	e.flags &^= moved | worked
	b.count(e)
	if (was == Tried) != (e.table == Tried) {
		b.journal.peer(slot, e)
	}
}

func (b *Book) retableLearned(slot uint32, e *entry, has bool) {
	if e.is(moved) || e.table == Tried && !has {
		b.exit(e)
	}
	if e.table == Tried && (!has || e.cell == 0 && !b.enter(slot, e, Tried)) {
		b.toTable(e, Any)
	}
	if e.table != Tried && has && (e.is(worked) || e.table == Any) && b.promote(slot, e) {
		return
	}
	if e.table != Tried && e.cell == 0 && !b.enterNew(slot, e, true) {
		b.toTable(e, New)
	}
}

// toTable notes which table e is in.
func (b *Book) toTable(e *entry, t Table) {
	if (t == Tried) != (e.table == Tried) {
		b.tried += sign(t == Tried)
	}
	e.table = t
}

func sign(up bool) int {
	if up {
		return 1
	}
	return -1
}
