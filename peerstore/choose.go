package peerstore

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// maxDraws is how often Next draws before it looks at everybody who is due, one after the other.
const maxDraws = 16

// maxStale bounds how many out of date peers are mended while the lock is held.
const maxStale = 256

// Next chooses a peer that may be dialed at now: see Store. As a rule the first draw is good, in O(1). Only if nearly all who are due are skipped or avoided
// it walks through them, a few under the lock at a time.
func (b *Book) Next(now time.Time, q Query) (r Record, ok bool) {
	r.Addresses = q.Room[:0]
	b.mu.Lock()
	b.turn(now, maxMoves)
	if q.Table == Any && b.sets[trustedSet].due > 0 {
		trusted := b.dueTrusted()
		b.mu.Unlock()
		if first, ok := b.firstOfThese(trusted, &q); ok {
			return first, true
		}
		b.mu.Lock()
	}
	for range maxDraws {
		slot, e := b.draw(&q)
		if e == nil {
			b.mu.Unlock()
			return Record{}, false
		}
		b.read(e, b.idOf(slot, e), &r)
		if q.Skip == nil && q.Avoid == nil {
			b.reserve(slot, e, &r, &q)
			b.mu.Unlock()
			return r, true
		}
		var group Group
		if q.Avoid != nil {
			group = b.groupOf(b.bestDue(e))
		}
		key := e.nodeKey()
		b.mu.Unlock()
		fits := (q.Skip == nil || !q.Skip(r.ID)) && (q.Avoid == nil || !q.Avoid(group))
		if fits && !q.Reserve {
			return r, true
		}
		b.mu.Lock()
		if fits {
			if e := b.due(slot, &key); e != nil {
				b.reserve(slot, e, &r, &q)
				b.mu.Unlock()
				return r, true
			}
		}
	}
	for b.advance(maxMoves) { // all who are due
		b.mu.Unlock()
		b.mu.Lock()
	}
	b.mu.Unlock()
	return b.walk(now, &q)
}

// Feeler chooses a peer to test: see Store.
func (b *Book) Feeler(now time.Time, q Query) (Record, bool) {
	b.mu.Lock()
	b.turn(now, maxMoves)
	var tests []candidate
	for i := range b.contests {
		c := &b.contests[i]
		if e := b.same(c.incumbent, &c.incumbentKey); e != nil && b.isDue(e) && b.ready(c.incumbent, e) {
			tests = append(tests, candidate{c.incumbent, c.incumbentKey, b.idOf(c.incumbent, e)})
		}
	}
	b.mu.Unlock()
	if r, ok := b.firstOfThese(tests, &q); ok {
		return r, true
	}
	q.Table = New
	return b.Next(now, q)
}

// candidate is a peer that may be dialed, as long as the lock is not held.
type candidate struct {
	slot uint32
	key  nodeKey
	id   transport.NodeID
}

// due is the peer at a slot, if it is still the same and may be dialed; else nil.
func (b *Book) due(slot uint32, key *nodeKey) *entry {
	if e := b.same(slot, key); e != nil && b.isDue(e) && e.due <= b.now {
		return e
	}
	return nil
}

// reserve marks e, of which r is a copy, if q asks for that.
func (b *Book) reserve(slot uint32, e *entry, r *Record, q *Query) {
	if q.Reserve {
		b.setBusy(slot, e, true)
		r.Busy, r.InTried = true, e.table == Tried
	}
}

// still reads a candidate that may still be dialed.
func (b *Book) still(c *candidate, q *Query) (r Record, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.due(c.slot, &c.key)
	if e == nil {
		return r, false
	}
	r.Addresses = q.Room[:0]
	b.read(e, c.id, &r)
	b.reserve(c.slot, e, &r, q)
	return r, true
}

// dueTrusted are the trusted peers that are due, of which there are a few, in random order.
func (b *Book) dueTrusted() []candidate {
	s := &b.sets[trustedSet]
	var all []candidate
	for i := 0; i < s.due; i++ {
		slot := s.slots[i]
		if e := b.at(slot); b.ready(slot, e) {
			all = append(all, candidate{slot, e.nodeKey(), b.idOf(slot, e)})
		} else {
			i--
		}
	}
	b.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// firstOfThese reads the first that is not skipped and may still be dialed.
func (b *Book) firstOfThese(list []candidate, q *Query) (r Record, ok bool) {
	for i := range list {
		if q.Skip != nil && q.Skip(list[i].id) {
			continue
		}
		if r, ok = b.still(&list[i], q); ok {
			return r, true
		}
	}
	return r, false
}

// ready says that e, which is among those that may be dialed, is there rightly. If not (a network was banned since, the time has gone back, or it has
// expired or aged), it is brought to where it belongs.
func (b *Book) ready(slot uint32, e *entry) bool {
	switch {
	case b.expired(e):
		b.remove(slot, e)
		return false
	case e.due > b.now, len(b.bans.nets) > 0 && b.dueAt(slot, e) > b.now, b.setOf(e) != e.set:
		b.reindex(slot, e)
		return b.isDue(e) && e.set == trustedSet
	}
	return true
}

// draw chooses at random, by weight; nil when nobody is due. Where a great many stand among those that are due and are not any more, it lets others have the lock
// now and then while it mends that.
func (b *Book) draw(q *Query) (uint32, *entry) {
	for n := 1; ; n++ {
		slot, ok := b.choose(q)
		if !ok && !b.advance(maxMoves) {
			return 0, nil
		}
		if ok {
			if e := b.at(slot); b.ready(slot, e) {
				b.last = slot
				return slot, e
			}
		}
		if n%maxStale == 0 {
			b.mu.Unlock()
			b.mu.Lock()
		}
	}
}

// choose draws a slot of those among the due: routable peers before the others, the tables half and half, a network group, and one of its better peers.
func (b *Book) choose(q *Query) (uint32, bool) {
	which, ok := b.part(q.Table, b.ahead(0).table)
	if !ok {
		return 0, false
	}
	if b.limits.Without.Crowds {
		b.roll()
		return b.chooseByLevel(which)
	}
	d := b.ahead(0)
	slot := b.crowds[which].draw(d)
	b.roll()
	b.lookAhead(q.Table, q.Reserve)
	return slot, true
}

// part chooses one of drawn's and crowds'.
func (b *Book) part(t Table, coin uint64) (which int, ok bool) {
	for far := 1; far >= 0; far-- {
		fresh, tried := b.drawn[2*far], b.drawn[2*far+1]
		if t == Tried {
			fresh = 0
		}
		if t == New {
			tried = 0
		}
		switch {
		case fresh+tried == 0:
			continue
		case fresh == 0:
			return 2*far + 1, true
		case tried == 0:
			return 2 * far, true
		case b.limits.Without.Halves:
			if below(coin, fresh+tried) >= fresh {
				return 2*far + 1, true
			}
			return 2 * far, true
		}
		return 2*far + int(coin&1), true
	}
	return 0, false
}

// chooseByLevel draws of all peers of a part by their levels alone.
func (b *Book) chooseByLevel(which int) (uint32, bool) {
	at := b.random.IntN(b.drawn[which])
	for level := topLevel; level >= 0; level-- {
		for _, spared := range [...]bool{false, true} {
			s := &b.sets[learnedSet(spared, New+Table(which%2), which >= 2, level)]
			if at < s.due<<level {
				return s.slots[at>>level], true
			}
			at -= s.due << level
		}
	}
	return 0, false
}

// bestDue is the address by which e is due that is dialed first.
func (b *Book) bestDue(e *entry) *known {
	best := &e.first
	for k := b.nextOf(best); k != nil; k = b.nextOf(k) {
		if due := b.mayDial(k); due != b.mayDial(best) {
			if due {
				best = k
			}
		} else if k.better(best) {
			best = k
		}
	}
	return best
}

// mayDial says that k has neither to rest nor is banned.
func (b *Book) mayDial(k *known) bool { return k.notBefore <= b.now && b.banOf(k) <= b.now }

// walk looks at all learned peers that are due, those that cannot be routed last, and takes the first that is neither skipped nor avoided, else the first
// that is not skipped.
func (b *Book) walk(now time.Time, q *Query) (Record, bool) {
	var avoided candidate
	found := false
	first := New
	if b.coin() {
		first = Tried
	}
	for _, far := range [...]bool{true, false} {
		for _, table := range [...]Table{first, New + Tried - first} {
			if q.Table != Any && q.Table != table {
				continue
			}
			for level := topLevel; level >= 0; level-- {
				for _, spared := range [...]bool{false, true} {
					if r, ok := b.walkSet(now, q, learnedSet(spared, table, far, level), &avoided, &found); ok {
						return r, true
					}
				}
			}
		}
	}
	if found {
		return b.still(&avoided, q)
	}
	return Record{}, false
}

func (b *Book) coin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.random.Uint64()&1 == 0
}

// page is how many peers walk looks at under the lock.
const page = 32

func (b *Book) walkSet(now time.Time, q *Query, id setID, avoided *candidate, found *bool) (Record, bool) {
	var list [page]candidate
	var groups [page]Group
	for from := 0; ; {
		n := 0
		b.mu.Lock()
		b.now = nano(now)
		s := &b.sets[id]
		for ; from < s.due && n < page; from++ {
			slot := s.slots[from]
			e := b.at(slot)
			if !b.ready(slot, e) {
				from-- // another one stands here now
				continue
			}
			list[n] = candidate{slot, e.nodeKey(), b.idOf(slot, e)}
			groups[n] = b.groupOf(b.bestDue(e))
			n++
		}
		b.mu.Unlock()
		if n == 0 {
			return Record{}, false
		}
		for i := range n {
			switch {
			case q.Skip != nil && q.Skip(list[i].id):
			case q.Avoid != nil && q.Avoid(groups[i]):
				if !*found {
					*avoided, *found = list[i], true
				}
			default:
				if r, ok := b.still(&list[i], q); ok {
					return r, true
				}
			}
		}
	}
}

// NextDue tells when the next peer that is neither due nor busy becomes due: see Store.
func (b *Book) NextDue(now time.Time) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		b.now = nano(now)
		first, ok := b.waiting.min()
		switch {
		case !ok:
			return time.Time{}, false
		case b.stale(first):
			b.waiting.drop(0)
		case first.due > b.now:
			return stamp(first.due), true
		default:
			b.advance(maxMoves)
			b.mu.Unlock() // a great many may be due
			b.mu.Lock()
		}
	}
}

// Range calls fn with copies, best ranked first (trusted, linked, then by level): see Store. A peer whose rank changes meanwhile may be seen twice or not at all.
func (b *Book) Range(fn func(Record) bool) {
	page := make([]Record, 0, 64)
	visit := func(id setID) bool {
		for from := 0; ; from += len(page) {
			if page = b.page(page[:0], id, from); len(page) == 0 {
				return true
			}
			for i := range page {
				if !fn(page[i]) {
					return false
				}
			}
		}
	}
	if !visit(trustedSet) || !visit(heldSet) {
		return
	}
	for level := topLevel; level >= 0; level-- {
		for _, spared := range [...]bool{true, false} {
			for _, far := range [...]bool{true, false} {
				for table := range Tried + 1 {
					if !visit(learnedSet(spared, Tried-table, far, level)) {
						return
					}
				}
			}
		}
	}
}

func (b *Book) page(out []Record, id setID, from int) []Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	slots := b.sets[id].slots
	for ; from < len(slots) && len(out) < cap(out); from++ {
		var r Record
		e := b.at(slots[from])
		b.read(e, b.idOf(slots[from], e), &r)
		out = append(out, r)
	}
	return out
}
