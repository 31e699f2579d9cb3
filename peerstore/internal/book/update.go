package book

import (
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
	ch := c.write(e, r)
	c.file(e, ch)
	if e.is(contested) {
		c.judge()
	}
	if fresh || ch.any || !e.is(stored) {
		c.changes.note(e)
	}
	c.prune()
}

// SetBusy marks a peer as being dialed or connected, or no longer: see peerstore.Store.
func (b *Book) SetBusy(id transport.NodeID, on bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.c.find(id)
	if e != nil {
		b.c.setBusy(e, on)
	}
	return e != nil
}

func (c *catalog) setBusy(e *entry, on bool) {
	if !e.set(busy, on) {
		return
	}
	c.file(e, change{})
	if e.is(contested) {
		c.judge()
	}
	c.prune()
}
