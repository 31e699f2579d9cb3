package peerstore

// setID names a set of peers that are alike in rank: noSet, trustedSet, heldSet, or one of the sets of learned peers, which setOf numbers.
type setID uint16

const (
	noSet      setID = iota
	trustedSet       // dialed first, never pruned
	heldSet          // busy ones, never pruned
	firstSet

	// levels of rank in each kind of sets: each has twice the weight of the one below.
	levels = 24
	sets   = firstSet + 2*3*2*levels
)

// learnedSet is a set of peers that are neither trusted nor busy.
func learnedSet(spared bool, table Table, far bool, level int) setID {
	n := int(table)
	if spared {
		n += 3
	}
	n *= 2
	if far {
		n++
	}
	return firstSet + setID(n*levels+level)
}

// level is what learnedSet was called with.
func (s setID) level() int { return int(s-firstSet) % levels }

// The parts of those that may be drawn to which most peers belong, of the new and the tried table.
const (
	routableNew   = 2
	routableTried = 3
)

// weighed says that Next draws from the set, and from which of drawn's.
func (s setID) weighed() (which int, ok bool) {
	if s < firstSet {
		return 0, false
	}
	n := int(s-firstSet) / levels
	far, table := n%2, n/2%3
	if table == int(Any) {
		return 0, false
	}
	return 2*far + table - 1, true
}

// set holds peers by their slots: those that may be dialed now first, the others behind, both in no order.
type set struct {
	slots []uint32
	due   int
}

// join puts e into a set.
func (b *Book) join(slot uint32, e *entry, id setID, due bool) {
	s := &b.sets[id]
	e.set, e.pos = id, uint32(len(s.slots))
	s.slots = push(s.slots, slot)
	if due {
		b.makeDue(slot, e)
	}
}

// leave takes e out of its set.
func (b *Book) leave(slot uint32, e *entry) {
	if b.isDue(e) {
		b.makeUndue(slot, e)
	}
	s := &b.sets[e.set]
	end := len(s.slots) - 1
	last := s.slots[end]
	s.slots[e.pos] = last
	b.at(last).pos = e.pos
	s.slots = s.slots[:end]
	e.set = noSet
}

// isDue says that e stands among those that may be dialed.
func (b *Book) isDue(e *entry) bool { return int(e.pos) < b.sets[e.set].due }

func (b *Book) makeDue(slot uint32, e *entry) {
	s := &b.sets[e.set]
	b.exchange(s, slot, e, s.due)
	s.due++
	b.weigh(e.set, 1)
	b.joinCrowd(slot, e)
}

func (b *Book) makeUndue(slot uint32, e *entry) {
	b.leaveCrowd(slot, e)
	s := &b.sets[e.set]
	s.due--
	b.exchange(s, slot, e, s.due)
	b.weigh(e.set, -1)
}

// exchange swaps e with who is at another place of its set.
func (b *Book) exchange(s *set, slot uint32, e *entry, at int) {
	if int(e.pos) == at {
		return
	}
	other := s.slots[at]
	s.slots[e.pos], b.at(other).pos = other, e.pos
	s.slots[at], e.pos = slot, uint32(at)
}

// weigh keeps the total weight of those that may be drawn.
func (b *Book) weigh(id setID, n int) {
	if which, ok := id.weighed(); ok {
		b.drawn[which] += n << id.level()
	}
}
