package peerstore

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Groups tells the network group of addresses.
func (b *Book) Groups() *Groups { return b.limits.Groups }

// Next chooses a peer that may be dialed at now: see Store.
func (b *Book) Next(now time.Time, q Query) (Record, bool) {
	if r, ok := b.next(now, q); ok || q.Avoid == nil {
		return r, ok
	}
	q.Avoid = nil
	return b.next(now, q)
}

// Feeler chooses a peer to test: see Store.
func (b *Book) Feeler(now time.Time, q Query) (Record, bool) {
	q.Table = New
	return b.Next(now, q)
}

func (b *Book) next(now time.Time, q Query) (Record, bool) {
	var batch [8]candidate
	var after *item
	for {
		// Skip and Avoid are asked without the lock, a few peers at a time.
		found := b.candidates(now, after, batch[:0])
		for i := range found {
			if q.Skip != nil && q.Skip(found[i].id) {
				continue
			}
			if r, ok := b.dialable(found[i].id); ok && b.wanted(&r, q, now) {
				return r, true
			}
		}
		if len(found) == 0 {
			return Record{}, false
		}
		last := found[len(found)-1].item
		after = &last
	}
}

func (b *Book) wanted(r *Record, q Query, now time.Time) bool {
	if q.Table != Any && (r.Trusted || r.Tried() != (q.Table == Tried)) {
		return false
	}
	if q.Avoid == nil || r.Trusted {
		return true
	}
	for i := range r.Addresses {
		if a := &r.Addresses[i]; !a.NotBefore.After(now) {
			return !q.Avoid(b.limits.Groups.Of(a.Address))
		}
	}
	return true
}

type candidate struct {
	item item
	id   transport.NodeID
}

// candidates appends the best peers that may be dialed at now, behind the given one, up to the capacity of out.
func (b *Book) candidates(now time.Time, after *item, out []candidate) []candidate {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	for more := true; more && len(out) == 0; {
		more = b.fill(after, &out) || b.advance()
	}
	return out
}

// fill looks at no more peers than out has room for. It says whether it took out some that are not to be dialed, so that others may
// come up in their places.
func (b *Book) fill(after *item, out *[]candidate) (again bool) {
	var stale [8]uint32
	n := 0
	b.ready.each(after, func(i item) bool {
		e := b.slots[i.slot]
		// A network may have been banned since it was indexed, and the time may have gone back.
		if len(b.bans.nets) > 0 && b.dueAt(e) > b.now || e.due > b.now || b.expired(e) {
			stale[n] = i.slot
			n++
		} else {
			*out = append(*out, candidate{i, e.id})
		}
		return n < len(stale) && len(*out) < cap(*out)
	})
	for _, slot := range stale[:n] {
		e := b.slots[slot]
		if b.expired(e) {
			b.remove(e)
			continue
		}
		b.reindex(e)
	}
	return n > 0
}

func (b *Book) dialable(id transport.NodeID) (Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(id)
	if e == nil || e.place != ready || e.due > b.now {
		return Record{}, false
	}
	var r Record
	e.read(&r)
	return r, true
}
