package book

import (
	"slices"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Changes are what a store that persists has to write.
type Changes struct {
	Peers   []peerstore.Record // changed ones as they are now; Busy is not to be persisted
	Removed []transport.NodeID

	fresh []*entry // of Peers those that were not persisted before
}

// changes lists what has changed since it was last taken. It holds names, not values, so it is bounded by the size of
// the book and of what is persisted. It stays empty in a book that is not tracked.
type changes struct {
	wake  chan struct{} // nil: not tracked
	dirty []*entry      // each once (the flag dirty); some are gone
	gone  int           // of these
	// removed are the peers that are persisted, but not known any more.
	removed map[transport.NodeID]struct{}
}

// note lists e as changed.
func (s *changes) note(e *entry) {
	if s.wake == nil || e.is(gone) || !e.set(dirty, true) {
		return
	}
	s.dirty = append(s.dirty, e)
	s.notify()
}

// noteGone lists e, which is gone, as removed.
func (s *changes) noteGone(e *entry) {
	if e.is(dirty) {
		if s.gone++; s.gone > len(s.dirty)/2+64 {
			s.dirty = slices.DeleteFunc(s.dirty, func(e *entry) bool { return e.is(gone) })
			s.gone = 0
		}
	}
	if s.wake != nil && e.is(stored) {
		s.removed[e.id()] = struct{}{}
		s.notify()
	}
}

func (s *changes) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// TrackChanges makes the book list which peers change. Call it once, before the book is used or restored. The channel
// receives a value when there is something to take; a spurious value is possible, a lost one is not.
func (b *Book) TrackChanges() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.changes.wake = make(chan struct{}, 1)
	b.c.changes.removed = make(map[transport.NodeID]struct{})
	return b.c.changes.wake
}

// TakeChanges replaces what c holds with up to limit changed peers and as many removed ones, and takes them off the
// list. It reuses c's memory, records included. more reports whether any are left.
//
// Only one goroutine at a time may take and write, or an older record could overwrite a newer one. After a failed write
// it returns c with PutBack.
func (b *Book) TakeChanges(limit int, c *Changes) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.c.changes
	c.Peers, c.Removed, c.fresh = c.Peers[:0], c.Removed[:0], c.fresh[:0]
	for id := range s.removed {
		if len(c.Removed) == limit {
			break
		}
		c.Removed = append(c.Removed, id)
		delete(s.removed, id)
	}
	for ; len(s.dirty) > 0 && len(c.Peers) < limit; s.dirty = s.dirty[1:] {
		e := s.dirty[0]
		s.dirty[0] = nil
		if e.set(dirty, false); e.is(gone) {
			s.gone--
			continue
		}
		if n := len(c.Peers); n < cap(c.Peers) {
			c.Peers = c.Peers[:n+1]
		} else {
			c.Peers = append(c.Peers, peerstore.Record{})
		}
		e.read(&c.Peers[len(c.Peers)-1])
		if e.set(stored, true) {
			c.fresh = append(c.fresh, e)
		}
	}
	if len(s.dirty) == 0 {
		s.dirty = nil
	}
	return len(s.dirty)+len(s.removed) > 0
}

// PutBack lists c as changed again, after its write has failed.
func (b *Book) PutBack(c *Changes) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.c.changes
	for _, e := range c.fresh {
		e.set(stored, false)
		if e.is(gone) {
			delete(s.removed, e.id())
		}
	}
	for i := range c.Peers {
		if e := b.c.find(c.Peers[i].ID); e != nil {
			s.note(e)
		}
	}
	for _, id := range c.Removed {
		if e := b.c.find(id); e != nil {
			e.set(stored, true)
		} else {
			s.removed[id] = struct{}{}
		}
	}
	s.notify()
}
