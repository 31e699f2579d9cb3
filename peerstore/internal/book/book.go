// Package book is the engine of the peer stores: all known peers in memory, with the indexes that choose among them.
//
// peerstore/memory is a Book alone. A store that persists embeds a Book, loads it with the Restore calls, and from then
// on writes what TakeChanges gives it; bans, the operator's flags and small values it persists itself when they change.
package book

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Book implements peerstore.Store in memory, and what a store that persists needs beneath it. One mutex guards all of
// it.
type Book struct {
	mu   sync.Mutex
	c    catalog
	meta map[string][]byte

	failing  string // why the store that embeds the book cannot write; "" while it can
	failures uint64 // times that it could not
}

// New makes an empty book. Its random choices, and the key of its buckets, follow from seed; 0 draws one.
func New(limits peerstore.Limits, seed uint64) *Book {
	limits = limits.WithDefaults()
	var key [16]byte
	random := rand.New(rand.NewPCG(seed, seed))
	word := random.Uint64
	if seed == 0 {
		random, word = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), rand.Uint64 // the key is a secret
	}
	binary.BigEndian.PutUint64(key[:8], word())
	binary.BigEndian.PutUint64(key[8:], word())
	return &Book{
		meta: make(map[string][]byte),
		c: catalog{
			limits: limits, random: random, peers: make(map[nodeKey]*entry), sources: newSources(limits.Groups),
			due:     newDue(),
			buckets: newBuckets(&limits, key), bans: newBans(),
		},
	}
}

// Get returns a copy of what is known of a peer.
func (b *Book) Get(id transport.NodeID) (r peerstore.Record, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.c.find(id)
	if e != nil {
		e.read(&r)
	}
	return r, e != nil
}

// Remove forgets a peer.
func (b *Book) Remove(id transport.NodeID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.c.find(id)
	if e != nil {
		b.c.remove(e)
	}
	return e != nil
}

// Stats returns the book's totals. Bans that have ended count until they are cleared away.
func (b *Book) Stats() peerstore.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, tried := len(b.c.peers), b.c.tried
	return peerstore.Stats{Known: known, Tried: tried, New: known - tried, Banned: b.c.bans.len(),
		Forgotten: b.c.forgot, Failing: b.failing, WriteErrors: b.failures}
}

// SetFailing says that the store that persists has written, or why it could not.
func (b *Book) SetFailing(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing = ""; err != nil {
		b.failing = err.Error()
		b.failures++
	}
}

// Groups tells the network group of addresses.
func (b *Book) Groups() *peerstore.Groups { return b.c.limits.Groups }

// Flush has nothing to do.
func (b *Book) Flush(context.Context) error { return nil }

// Run waits for the end of ctx.
func (b *Book) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close has nothing to do.
func (b *Book) Close() error { return nil }

// yield lets other callers have the lock in between.
func (b *Book) yield() {
	b.mu.Unlock()
	b.mu.Lock()
}
