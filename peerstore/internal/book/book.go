// Package book is the engine of the peer stores: all known peers in memory, with the indexes that choose among them.
//
// peerstore/memory is a Book alone. A store that persists embeds a Book, loads it with the Restore calls, and from then
// on writes what TakeChanges gives it.
package book

import (
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Book implements peerstore.Store in memory, and what a store that persists needs beneath it.
type Book struct {
	*peerstore.Book
	mu      sync.Mutex
	restore *peerstore.Restorer
	old     peerstore.Changes
}

// New makes an empty book. Its random choices follow from seed; 0 draws one.
func New(limits peerstore.Limits, seed uint64) *Book {
	return &Book{Book: peerstore.NewBook(limits, seed)}
}

// TrackChanges makes the book note which peers change. Call it once, before the book is used or restored. The channel
// receives a value when there is something to take; a spurious value is possible, a lost one is not.
func (b *Book) TrackChanges() <-chan struct{} {
	b.Track()
	some, _ := b.Changed()
	return some
}

// Changes are peers to write and peers to delete.
type Changes struct {
	Peers   []peerstore.Record // Busy is set for peers in use; it is not to be persisted
	Removed []transport.NodeID
}

// TakeChanges replaces c with up to limit changed peers and all removed ones, and takes them off the list of changes.
// It reuses c's memory, records included. more reports whether further changed peers are left. One goroutine at a time
// may write what it took, or an older record could overwrite a newer one.
func (b *Book) TakeChanges(limit int, c *Changes) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Written()
	more = b.Book.TakeChanges(limit, &b.old)
	c.Peers, c.Removed = c.Peers[:0], append(c.Removed[:0], b.old.Gone...)
	for i := range b.old.Peers {
		c.Peers = append(c.Peers, b.old.Peers[i].Record())
	}
	return more
}

// PutBack lists c as changed again, after its write has failed.
func (b *Book) PutBack(*Changes) { b.GiveBack() }

// Restore adds a peer as it was persisted. The book must not be in use yet. It reports false for a peer that the
// book refuses: expired by now, known already, or one that a limit leaves no room for. Nothing is listed as changed,
// but peers that lose their place to others are listed as removed.
func (b *Book) Restore(r peerstore.Record, now time.Time) bool {
	if _, known := b.Get(r.ID); known {
		return false
	}
	b.Ensure(r.ID, now, func(into *peerstore.Record) { *into = r })
	_, known := b.Get(r.ID)
	return known
}

// BucketKey is the secret that places peers in buckets. A store that persists keeps it, or all places change.
func (b *Book) BucketKey() (key [16]byte) { copy(key[:], b.Meta("peerstore/key")); return key }

// SetBucketKey replaces the secret that places peers in buckets. The book must be empty.
func (b *Book) SetBucketKey(key [16]byte) { b.RestoreMeta("peerstore/key", key[:]) }
