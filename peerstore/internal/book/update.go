package book

import (
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Update changes a known peer: see peerstore.Store.
func (b *Book) Update(id transport.NodeID, fn func(*peerstore.Record)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.c.find(id)
	if e != nil {
		e.read(&b.c.scratch)
		b.c.update(e, fn)
	}
	return e != nil
}

// Ensure is Update that inserts an unknown peer first: see peerstore.Store.
func (b *Book) Ensure(id transport.NodeID, now time.Time, fn func(*peerstore.Record)) {
	if id == "" || len(id) > peerstore.MaxID {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	c.advanceClock(now, someMoves)
	e := c.find(id)
	if e != nil {
		e.read(&c.scratch)
	} else {
		c.scratch = peerstore.Record{ID: id, FirstSeen: TimeOf(c.now), Addresses: c.scratch.Addresses[:0]}
	}
	c.update(e, fn)
}

// update lets fn change the scratch record, which is a copy of e, and takes it over. e is nil for a new peer, which is
// inserted only once fn has returned, as fn may panic.
func (c *catalog) update(e *entry, fn func(*peerstore.Record)) {
	r := &c.scratch
	id, room := r.ID, r.Addresses
	defer func() { r.Addresses = room }() // and not what fn may have put there
	fn(r)
	r.ID = id
	fresh := e == nil
	if fresh {
		e = c.insert(keyOf(id), id)
	}
	failures, dialed := e.failures, int64(0)
	for i := range e.addresses {
		dialed = max(dialed, e.addresses[i].lastDialed)
	}
	ch := c.write(e, r)
	if ch.worked {
		ch.moved = c.sources.dropFalse(e) || ch.moved
	}
	c.judgeDial(e, failures, dialed, ch)
	if fresh || ch.any || !e.is(stored) {
		c.changes.note(e)
	}
	c.settleUp(e, ch)
}

// SetBusy marks a peer as being dialed or connected, or no longer: see peerstore.Store.
func (b *Book) SetBusy(id transport.NodeID, on bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.c.find(id)
	if e != nil && e.set(busy, on) {
		b.c.settleUp(e, change{})
	}
	return e != nil
}

// settleUp files e, which has changed, and does what follows: the end of a contest, its own end, that of others.
func (c *catalog) settleUp(e *entry, ch change) {
	c.file(e, ch)
	if e.is(contested) {
		c.judge()
	}
	c.forget(e)
	c.prune()
}

// dropFalse drops the addresses of e that never worked, when another one of it does: they are somebody else's.
func (s *sources) dropFalse(e *entry) (some bool) {
	had := len(e.addresses)
	e.addresses = slices.DeleteFunc(e.addresses, func(a address) bool {
		isFalse := a.lastWorked == 0 && a.failures >= deadAfter && !a.source.Configured()
		if isFalse {
			s.drop(&a)
		}
		return isFalse
	})
	return len(e.addresses) < had
}
