package peerstore

import (
	"github.com/google/btree"
)

// item is what the ordered indexes hold: a key, and the slot of the peer, which makes items of equal keys distinct. It has no pointer,
// so the garbage collector does not look into the indexes.
type item struct {
	key  uint64
	slot uint32
}

func (a item) less(b item) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.slot < b.slot
}

// degree of the trees: nodes of 63 to 127 items, 1 to 2 KiB. With up to a million peers 32 to 128 measured alike, 16 slower and larger.
const degree = 64

func newTree() *btree.BTreeG[item] { return btree.NewG(degree, item.less) }

// place is where a peer stands with regard to dialing.
type place uint8

const (
	nowhere place = iota // busy, without an address, or banned for ever
	waiting              // in book.waiting: due later
	ready                // in book.ready: due now
)

// reindex brings the places of e in the indexes up to date with its fields. Everything that changes an entry ends here. O(log n).
func (b *Book) reindex(e *entry) {
	old := e.rank
	if rank := rankOf(e); rank != old&^chanceMask {
		e.rank = rank | b.random.Uint64()&chanceMask
		if old != 0 {
			b.all.Delete(item{old, e.slot})
		}
		b.all.ReplaceOrInsert(item{e.rank, e.slot})
	}

	due := b.dueAt(e)
	to := waiting
	switch {
	case due == never:
		to = nowhere
	case due <= b.now:
		to = ready
	}
	if e.place != to || e.place == waiting && e.due != due || e.place == ready && e.rank != old {
		switch e.place {
		case waiting:
			b.waiting.Delete(item{uint64(e.due), e.slot})
		case ready:
			b.ready.remove(item{old &^ keptBit, e.slot})
		}
		switch to {
		case waiting:
			b.waiting.ReplaceOrInsert(item{uint64(due), e.slot})
		case ready:
			b.ready.add(item{e.rank &^ keptBit, e.slot})
		}
		e.place = to
	}
	e.due = due

	if tried := e.lastWorked() != 0; tried != e.tried {
		e.tried = tried
		b.tried += sign(tried)
	}
	b.reshare(e)
}

// unindex takes e out of every index.
func (b *Book) unindex(e *entry) {
	b.all.Delete(item{e.rank, e.slot})
	switch e.place {
	case waiting:
		b.waiting.Delete(item{uint64(e.due), e.slot})
	case ready:
		b.ready.remove(item{e.rank &^ keptBit, e.slot})
	}
	e.place = nowhere
	if e.tried {
		b.tried--
	}
	b.unshare(e)
	delete(b.parked, e.slot)
}

// dueAt is when e may be dialed: never when it is busy, has no address or is banned for ever.
func (b *Book) dueAt(e *entry) int64 {
	delete(b.parked, e.slot)
	if e.busy || len(e.addrs) == 0 {
		return never
	}
	first := int64(never)
	parked := false
	for i := range e.addrs {
		at := e.addrs[i].notBefore
		if end := b.bans.endOf(e.addrs[i].addr); end > at {
			at, parked = end, true
		}
		first = min(first, at)
	}
	if parked { // an end of these bans before their time must find it again
		b.parked[e.slot] = struct{}{}
	}
	return max(first, e.notBefore, e.quarantined, b.bans.endOfID(e.id))
}

// maxMoves bounds what one call moves, so that no caller waits long when a great many peers become due at once.
const maxMoves = 2048

// advance moves peers that are due at b.now from waiting to ready. It says whether there were any.
func (b *Book) advance() (moved bool) {
	for range maxMoves {
		first, ok := b.waiting.Min()
		if !ok || int64(first.key) > b.now {
			break
		}
		b.reindex(b.slots[first.slot])
		moved = true
	}
	return moved
}

func sign(up bool) int {
	if up {
		return 1
	}
	return -1
}
