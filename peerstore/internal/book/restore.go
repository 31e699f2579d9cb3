package book

import (
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Restore adds a peer as it was persisted, within the limits. The book must not be in use yet. Restore reports false
// for a peer that the book refuses: known already, or one that a limit or a bucket leaves no room for. Nothing is
// listed as changed, but a refused peer, and one that loses its place to another, is listed as removed.
//
// The clock may be another one now: what waits waits no longer than its limit, and age is no reason to refuse a peer.
// What was configured must be added again to count as configured.
func (b *Book) Restore(r peerstore.Record, now time.Time) bool {
	if r.ID == "" || len(r.ID) > peerstore.MaxID {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	c.now = Nano(now)
	key := keyOf(r.ID)
	if c.peers[key] != nil {
		return false
	}
	r.Busy = false
	atMost := func(at *time.Time, wait time.Duration) {
		if last := now.Add(wait); at.After(last) {
			*at = last
		}
	}
	atMost(&r.NotBefore, peerstore.LongestBackoff)
	atMost(&r.Quarantined, peerstore.LongestQuarantine)
	for i := range r.Addresses {
		a := &r.Addresses[i]
		atMost(&a.NotBefore, peerstore.LongestBackoff)
		if a.Source.Configured() {
			a.Source.Kind = peerstore.SourceOperator
		}
	}
	e := c.insert(key, r.ID)
	e.set(stored, true)
	c.write(e, &r)
	if !c.resume(e, r.InTried) {
		c.remove(e)
		return false
	}
	c.file(e, change{})
	c.prune()
	return !e.is(gone)
}

// resume places e where it was, without a contest and without making others go.
func (c *catalog) resume(e *entry, wasTried bool) bool {
	if e.is(kept) || len(e.addresses) == 0 {
		return true
	}
	if wasTried && e.lastWorked() != 0 && c.buckets.enter(e, peerstore.Tried) == nil {
		c.setTable(e, peerstore.Tried)
		return true
	}
	return c.enterNew(e, false)
}

// BucketKey returns the secret that places peers in buckets. A store that persists keeps it, or all places would
// change.
func (b *Book) BucketKey() [16]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.c.buckets.key
}

// SetBucketKey replaces the secret that places peers in buckets. The book must be empty.
func (b *Book) SetBucketKey(key [16]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.buckets.key = key
}
