package peerstore

import (
	"time"
	"unsafe"
)

// A learned peer's level says how likely it is to be dialed: each level doubles the weight. Old Tendermint ordered peers strictly by such a rank, so that
// whoever made himself look best was dialed first, always; a weight leaves everybody a chance.
const (
	middleLevel = 13
	topLevel    = levels - 1

	daySuccess  = 2  // worked within a day
	weekSuccess = 1  // within a week
	mostFailed  = 8  // each failed dial since the last success halves the weight, so many times
	scoreLevel  = 25 // points of score that double the weight
	oddPort     = -3 // a new peer at an unusual port: some tell of other services' ports, so that we attack these
)

const day = int64(24 * time.Hour)

// levelOf is e's level at the book's time.
func (b *Book) levelOf(e *entry) int {
	level := middleLevel - int(min(e.failures, mostFailed)) + int(e.score)/scoreLevel
	if last := b.lastWorked(e); last != 0 {
		switch age := b.now - last; {
		case age < day:
			level += daySuccess
		case age < 7*day:
			level += weekSuccess
		}
	} else if !e.is(usualPort) {
		level += oddPort
	}
	return min(max(level, 0), topLevel)
}

// setOf is the set that e belongs to now.
func (b *Book) setOf(e *entry) setID {
	switch {
	case e.is(trusted):
		return trustedSet
	case e.is(busy):
		return heldSet
	}
	return learnedSet(e.is(unconditional), e.table, e.is(routable), b.levelOf(e))
}

// reindex brings the places of e in the indexes up to date with its fields. Everything that changes an entry ends here. It may forget other peers,
// never e.
func (b *Book) reindex(slot uint32, e *entry) {
	was := e.set != noSet && b.isDue(e)
	if e.is(moved) && was { // its network group may be another one
		b.makeUndue(slot, e)
	}
	b.retable(slot, e)
	due := b.dueAt(slot, e)
	id, ready := b.setOf(e), due <= b.now
	stands := e.set != noSet && b.isDue(e)
	if id != e.set {
		if e.set != noSet {
			b.leave(slot, e)
		}
		b.join(slot, e, id, ready)
	} else if ready && !stands {
		b.makeDue(slot, e)
	} else if !ready && stands {
		b.makeUndue(slot, e)
	}
	old := e.due
	e.due = due
	b.setWaits(e, !ready && due != never)
	if !ready && due != never && (was || due != old) {
		b.waiting.push(dueItem{due, slot}, b.stale)
	}
	b.reshare(slot, e)
}

// settle is reindex for a new peer with one plain address and a place in a bucket, while there are no bans at all: so nothing can be special about it.
func (b *Book) settle(slot uint32, e *entry) {
	b.count(e)
	far := e.is(routable)
	b.join(slot, e, learnedSet(false, New, far, b.levelOf(e)), true)
	b.setShare(slot, e, shareFor(&e.first, far))
}

// setWaits counts e among those that may be dialed later, or not.
func (b *Book) setWaits(e *entry, on bool) {
	if on != e.is(waits) {
		e.setFlag(waits, on)
		b.waiting.peers += sign(on)
	}
}

// stale says that an item of the waiting peers is out of date.
func (b *Book) stale(i dueItem) bool {
	e := b.at(i.slot)
	return !e.is(live) || e.due != i.due || e.set == noSet || b.isDue(e)
}

// dueAt is when e may be dialed: never when it is busy, has no address or is banned for ever.
func (b *Book) dueAt(slot uint32, e *entry) int64 {
	if e.is(parked) {
		e.flags &^= parked
		delete(b.parked, slot)
	}
	if e.is(busy) || e.first.source == 0 {
		return never
	}
	first := int64(never)
	park := false
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		at := k.notBefore
		if end := b.banOf(k); end > at {
			at, park = end, true
		}
		first = min(first, at)
	}
	if park { // an end of these bans before their time must find it again
		e.flags |= parked
		b.parked[slot] = struct{}{}
	}
	return max(first, e.notBefore, b.quarantined(e), b.banOfNode(e))
}

// What one call moves is bounded, so that no caller waits long when a great many peers become due at once. Who asks for a peer that is due moves more than others.
const (
	maxMoves = 256
	fewMoves = 16
)

// advance moves peers that are due at b.now to those that may be dialed. It says whether there was anything to do.
func (b *Book) advance(moves int) (some bool) {
	for range moves {
		first, ok := b.waiting.min()
		if !ok || first.due > b.now {
			break
		}
		b.soon(b.waiting.drop(0))
		some = true
		if b.stale(first) {
			continue
		}
		if e := b.at(first.slot); b.onlyDue(e) {
			b.setWaits(e, false)
			b.makeDue(first.slot, e)
		} else {
			b.reindex(first.slot, e)
		}
	}
	return some
}

// soon begins to load what makes the next peers due, as they come nearer to the top of the heap: who is at a third item, the group of who is at a second one, and where the
// first is added there.
func (b *Book) soon(second, third int) {
	items := b.waiting.items
	if third > 0 {
		b.at(items[third].slot).prefetch()
	}
	if second > 0 {
		if c, id := b.crowdOf(items[second].slot); c != nil {
			prefetch(unsafe.Pointer(c.all.at(id)))
		}
		if c, id := b.crowdOf(items[0].slot); c != nil {
			c.all.at(id).prefetch()
		}
	}
}

// onlyDue says of a peer whose time has come that nothing else can have changed for it meanwhile, as for most: it has a place in a bucket, no ban or quarantine may have
// ended, and it does not grow old, as it never worked.
func (b *Book) onlyDue(e *entry) bool {
	return e.cell != 0 && e.extra == 0 && !e.is(parked|moved|worked) && len(b.bans.nets) == 0 && e.first.next == 0 && e.first.lastWorked == 0
}
