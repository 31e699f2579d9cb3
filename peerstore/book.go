package peerstore

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Defaults of Limits.
const (
	DefaultMaxPeers     = 100_000
	DefaultMaxAddresses = 8
	DefaultExpiry       = 30 * 24 * time.Hour
	DefaultMaxBans      = 200_000
)

func (l Limits) withDefaults() Limits {
	if l.MaxPeers <= 0 {
		l.MaxPeers = DefaultMaxPeers
	}
	if l.MaxAddresses <= 0 {
		l.MaxAddresses = DefaultMaxAddresses
	}
	if l.Expiry <= 0 {
		l.Expiry = DefaultExpiry
	}
	if l.MaxBans <= 0 {
		l.MaxBans = DefaultMaxBans
	}
	return l
}

// Bounds of the small named values.
const (
	MaxMetaKey    = 128      // bytes
	MaxMetaValue  = 64 << 10 // bytes
	MaxMetaValues = 1024
)

// heardGrain is how old LastHeard must be before it is refreshed. Peers tell us of the same addresses all the time, and each
// refresh has to be persisted.
const heardGrain = 10 * time.Minute

// Book is the store in memory: every method of Store (of which Flush, Run and Close have nothing to do), and what a persistent store needs beneath
// it (Track, TakeChanges, the Restore calls).
//
// One mutex guards all of it. A peer is in these indexes, by its slot:
//
//	peers    by node id
//	all      by rank, those that pruning spares above the rest: for Range and pruning
//	waiting  by the time when it may be dialed, if that is still to come
//	ready    by rank (see selection), if it may be dialed now
//	shared   in one of a few sets from which Advertise draws
//
// Every change of a peer is followed by reindex, which moves it where it belongs now in O(log n); nothing is ever sorted or scanned as a
// whole. What changes with time alone (peers that become due or expire, bans that end) is done in bounded steps by the calls that bring
// the time.
type Book struct {
	limits Limits

	mu     sync.Mutex
	now    int64      // the time that the last call brought
	random *rand.Rand // breaks ties
	peers  map[transport.NodeID]uint32
	slots  []*entry // nil: free
	free   []uint32
	hand   int // the next slot that sweep looks at

	all     *btree.BTreeG[item]
	waiting *btree.BTreeG[item]
	ready   selection
	parked  map[uint32]struct{} // peers whose due time was put off by the ban of a network
	shared  [shares][]uint32
	tried   int // peers that have worked
	global  int // peers whose address to share works and has a public IP

	bans    bans
	meta    map[string][]byte
	kinds   kinds
	stored  int // entries that are persisted (entry.stored)
	journal journal
	scratch Record          // what Update's fn sees
	addrs   []AddressRecord // and the memory of its addresses
}

// NewBook makes an empty book. seed sets the order of peers that are equal; 0 draws a seed.
func NewBook(limits Limits, seed uint64) *Book {
	second := seed
	if seed == 0 {
		seed, second = rand.Uint64(), rand.Uint64()
	}
	return &Book{
		limits:  limits.withDefaults(),
		random:  rand.New(rand.NewPCG(seed, second)),
		peers:   make(map[transport.NodeID]uint32),
		all:     newTree(),
		waiting: newTree(),
		ready:   newByRank(),
		parked:  make(map[uint32]struct{}),
		bans:    newBans(),
		meta:    make(map[string][]byte),
	}
}

// turn brings the time, and does a bounded share of what time alone changes. Times may go back: callers' times arrive a little
// out of order, and clocks are set. Next finds those peers that are not due any more.
func (b *Book) turn(now time.Time) {
	b.now = nano(now)
	b.endBans()
	b.sweep()
	b.advance()
}

func (b *Book) find(id transport.NodeID) *entry {
	if slot, ok := b.peers[id]; ok {
		return b.slots[slot]
	}
	return nil
}

// insert makes an entry with no address. The caller fills it and calls reindex.
func (b *Book) insert(id transport.NodeID) *entry {
	e := &entry{id: id, firstSeen: b.now}
	if n := len(b.free); n > 0 {
		e.slot = b.free[n-1]
		b.free = b.free[:n-1]
		b.slots[e.slot] = e
	} else {
		e.slot = uint32(len(b.slots))
		b.slots = append(b.slots, e)
	}
	b.peers[id] = e.slot
	return e
}

func (b *Book) remove(e *entry) {
	b.unindex(e)
	delete(b.peers, e.id)
	b.slots[e.slot] = nil
	b.free = append(b.free, e.slot)
	b.journal.removed(e)
	if e.stored {
		b.stored--
	}
}

// prune removes the worst ranked peers beyond the limit, as long as there are any that may go.
func (b *Book) prune() {
	for len(b.peers) > b.limits.MaxPeers {
		last, ok := b.all.Min()
		if !ok || last.key&keptBit != 0 {
			return
		}
		b.remove(b.slots[last.slot])
	}
}

// expired says that a learned peer was neither seen nor heard of for too long.
func (b *Book) expired(e *entry) bool {
	if e.rank&keptBit != 0 {
		return false
	}
	seen := max(e.firstSeen, e.lastConnected, e.lastDisconnected)
	for i := range e.addrs {
		seen = max(seen, e.addrs[i].lastHeard, e.addrs[i].lastWorked)
	}
	return seen <= b.now-int64(b.limits.Expiry)
}

// sweepStep is how many slots one call looks at for expired peers: a hand goes around the book, so no index by age is needed.
const sweepStep = 4

func (b *Book) sweep() {
	for range min(sweepStep, len(b.slots)) {
		if b.hand >= len(b.slots) {
			b.hand = 0
		}
		if e := b.slots[b.hand]; e != nil && b.expired(e) {
			b.remove(e)
		}
		b.hand++
	}
}

// Add learns an address: see Store.
func (b *Book) Add(addr transport.Address, source Source, now time.Time) bool {
	id := addr.ID()
	if id == "" || len(id) > maxID {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	at := nano(now)

	e := b.find(id)
	if e != nil {
		if i := find(e.addrs, addr); i >= 0 {
			if k := &e.addrs[i]; at-k.lastHeard >= int64(heardGrain) {
				k.lastHeard = at
				b.journal.peer(e)
			}
			return false
		}
	}
	k := known{addr: addr, kind: b.kinds.of(source.Kind), from: b.name(source.From), ip: source.IP, firstHeard: at, lastHeard: at}
	if source.Kind != SourceConfig && (e == nil || !e.trusted) {
		if b.bans.endOfID(id) > at || b.bans.endOf(addr) > at || e != nil && e.quarantined > at {
			return false
		}
	}
	if e == nil {
		return b.addPeer(id, k)
	}
	if len(e.addrs) < b.limits.MaxAddresses {
		e.addrs = append(grow(e.addrs, 0, b.limits.MaxAddresses), k)
	} else if w := worst(e.addrs); k.better(&e.addrs[w]) {
		e.addrs[w] = k
	} else {
		return false
	}
	b.reindex(e)
	b.journal.peer(e)
	return true
}

// addPeer inserts a peer with one address, and the worst ranked one goes when the book is full; that may be the new one, and equals
// share the places by chance.
func (b *Book) addPeer(id transport.NodeID, k known) bool {
	e := b.insert(id)
	e.addrs = []known{k}
	b.reindex(e)
	b.prune()
	if b.slots[e.slot] != e {
		return false
	}
	b.journal.peer(e)
	return true
}

// name is a node id that shares the memory of the peer's own, if it is known.
func (b *Book) name(id transport.NodeID) transport.NodeID {
	if len(id) > maxID {
		return ""
	}
	if e := b.find(id); e != nil {
		return e.id
	}
	return transport.NodeID(strings.Clone(string(id)))
}

// Get returns a copy of what is known of a peer.
func (b *Book) Get(id transport.NodeID) (Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var r Record
	e := b.find(id)
	if e != nil {
		e.read(&r)
	}
	return r, e != nil
}

// Update changes a known peer: see Store.
func (b *Book) Update(id transport.NodeID, fn func(*Record)) bool {
	known, _ := b.Change(id, fn)
	return known
}

// Change is Update that also says whether a flag that has to be persisted at once (Trusted, Unconditional, Private) changed.
func (b *Book) Change(id transport.NodeID, fn func(*Record)) (known, flags bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(id)
	if e == nil {
		return false, false
	}
	return true, b.change(e, fn)
}

// change lets fn change a copy of the entry, and takes the copy over.
func (b *Book) change(e *entry, fn func(*Record)) (flags bool) {
	r := &b.scratch
	r.Addresses = b.addrs
	e.read(r)
	b.addrs = r.Addresses
	fn(r)
	flags = e.trusted != r.Trusted || e.unconditional != r.Unconditional || e.private != r.Private
	e.write(r, b.limits.MaxAddresses, &b.kinds)
	clear(b.addrs) // which may not be what fn left in r; it keeps no text alive
	*r = Record{}
	b.reindex(e)
	b.journal.peer(e)
	b.prune()
	return flags
}

// Ensure is Update that inserts an unknown peer first: see Store.
func (b *Book) Ensure(id transport.NodeID, now time.Time, fn func(*Record)) {
	b.EnsureChange(id, now, fn)
}

// EnsureChange is Ensure that also says whether a flag that has to be persisted at once changed.
func (b *Book) EnsureChange(id transport.NodeID, now time.Time, fn func(*Record)) (flags bool) {
	if id == "" || len(id) > maxID {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	e := b.find(id)
	if e == nil {
		e = b.insert(id)
		defer func() { // fn may panic, and no entry may stay out of the indexes
			if e.rank == 0 {
				b.reindex(e)
			}
		}()
	}
	return b.change(e, fn)
}

// Remove forgets a peer.
func (b *Book) Remove(id transport.NodeID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(id)
	if e != nil {
		b.remove(e)
	}
	return e != nil
}

// NextDue tells when the next peer that is neither due nor busy becomes due: see Store.
func (b *Book) NextDue(now time.Time) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var due time.Time
	found := false
	b.waiting.AscendGreaterOrEqual(item{key: uint64(nano(now)) + 1}, func(i item) bool {
		due, found = stamp(int64(i.key)), true
		return false
	})
	return due, found
}

// Range calls fn with copies, best ranked first: see Store. Connected peers come before all but the trusted ones. A peer whose rank changes meanwhile may be
// seen twice or not at all.
func (b *Book) Range(fn func(Record) bool) {
	page := make([]Record, 0, 64)
	var after *item
	for {
		page, after = b.page(page[:0], after)
		for i := range page {
			if !fn(page[i]) {
				return
			}
		}
		if len(page) < cap(page) {
			return
		}
	}
}

func (b *Book) page(out []Record, after *item) ([]Record, *item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := after
	visit := func(i item) bool {
		if after != nil && i == *after {
			return true
		}
		var r Record
		b.slots[i.slot].read(&r)
		out = append(out, r)
		last = &i
		return len(out) < cap(out)
	}
	if after == nil {
		b.all.Descend(visit)
	} else {
		b.all.DescendLessOrEqual(*after, visit)
	}
	return out, last
}

// Stats are the book's totals. Bans that have ended count until they are cleared away.
func (b *Book) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Known: len(b.peers), Tried: b.tried, New: len(b.peers) - b.tried, Banned: b.bans.len()}
}

// Flush has nothing to do.
func (b *Book) Flush(context.Context) error { return nil }

// Run waits for the end of ctx.
func (b *Book) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close has nothing to do.
func (b *Book) Close() error { return nil }
