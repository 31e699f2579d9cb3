package peerstore

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// mostPeers is what Limits.MaxPeers may be at most, so that slots fit in a member.
const mostPeers = 1 << (slotBits - 1)

// heardGrain is how old LastHeard must be before it is refreshed. Peers tell us of the same addresses all the time, and each
// refresh has to be persisted.
const heardGrain = 10 * time.Minute

// Book is the store in memory: every method of Store (of which Flush, Run and Close have nothing to do), and what a persistent store needs beneath
// it (Track, TakeChanges, the Restore calls).
//
// One mutex guards all of it. A peer has a slot, a number in entries, by which these indexes know it:
//
//	ids      by node id
//	tables   the buckets of the new and the tried table: what a group may fill
//	sets     by rank, those that may be dialed now apart: for Next, pruning and Range
//	waiting  by the time when it may be dialed, if that is still to come
//	shared   in one of a few sets from which Advertise draws
//
// Every change of a peer is followed by reindex, which moves it where it belongs now, most of it in O(1), waiting in O(log n); nothing is ever sorted or
// scanned as a whole. What changes with time alone (peers that become due or expire, bans that end) is done in bounded steps by the calls that bring
// the time.
type Book struct {
	limits Limits

	mu     sync.Mutex
	now    int64      // the time that the last call brought
	random *rand.Rand // all choices come from it
	key    sipKey     // places peers in buckets

	ids     ids
	entries slab[entry]
	grouped grouped
	last    uint32 // who was chosen or looked for last, and so is asked for next as a rule
	extras  slab[extra]
	more    slab[known]
	others  slab[transport.Address]
	names   map[uint32]transport.NodeID // of slots whose id is not of the 40-hex form
	sources sources
	texts   texts
	hand    uint32 // the next slot that sweep looks at
	swept   int64  // when it last did

	tables   [2]buckets // new, tried
	contests []contest
	ofKind   [maxKinds + 2]int // peers of the new table by source.kind, plus one
	sets     [sets]set
	dice     [8]dice   // of the next draws: diceAhead are known
	rolled   uint32    // which of them are the next
	drawn    [4]int    // the weight of those that may be dialed: new and tried that cannot be routed, and those that can
	crowds   [4]crowds // and who they are, by network group
	waiting  waiting
	parked   map[uint32]struct{} // peers whose due time was put off by the ban of a network
	shared   [shares][]uint32
	tried    int // peers in the tried table
	global   int // peers whose address to share works and has a public IP

	bans    bans
	banned  atomic.Int64 // how many there are, for those who do not hold the lock
	meta    map[string][]byte
	stored  int                  // entries that are persisted
	over    map[nodeKey]struct{} // while peers are restored: those who are not here, and of whom no older record holds
	journal journal
	scratch Record          // what Update's fn sees
	addrs   []AddressRecord // the memory of its addresses
}

// metaKey is the name under which the buckets' key is kept.
const metaKey = "peerstore/key"

// NewBook makes an empty book. All random choices follow from seed, and so does the buckets' key until one is restored; 0 draws a seed.
func NewBook(limits Limits, seed uint64) *Book {
	second := seed
	if seed == 0 {
		seed, second = rand.Uint64(), rand.Uint64()
	}
	limits = limits.WithDefaults()
	b := &Book{
		limits:  limits,
		random:  rand.New(rand.NewPCG(seed, second)),
		ids:     ids{seed: maphash.MakeSeed()},
		names:   make(map[uint32]transport.NodeID),
		texts:   texts{seed: maphash.MakeSeed()},
		sources: sources{seed: maphash.MakeSeed()},
		tables:  [2]buckets{newBuckets(newPlaces * limits.MaxPeers), newBuckets(limits.MaxPeers / triedPlaces)},
		parked:  make(map[uint32]struct{}),
		bans:    newBans(),
		meta:    make(map[string][]byte),
	}
	b.key = sipKey{b.random.Uint64(), b.random.Uint64()}
	if second != seed { // not one that somebody asked for: then the key is a secret, which PCG would not keep
		b.key = sipKey{rand.Uint64(), rand.Uint64()} // of the runtime's ChaCha8
	}
	for i := range b.crowds {
		b.crowds[i].book, b.crowds[i].key = b, sipKey{b.random.Uint64(), b.random.Uint64()}
	}
	for range diceAhead {
		b.roll()
	}
	b.meta[metaKey] = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.key[0]), b.key[1])
	return b
}

// at is the entry of a slot.
func (b *Book) at(slot uint32) *entry { return b.entries.at(slot) }

// turn brings the time, and does a bounded share of what time alone changes: of peers that become due it moves so many. Times may go back: callers' times arrive a
// little out of order, and clocks are set. Next finds those peers that are not due any more.
func (b *Book) turn(now time.Time, moves int) {
	b.bring(now)
	b.age(moves)
}

// bring is the beginning of turn: the time, and bans that have ended.
func (b *Book) bring(now time.Time) {
	b.now = nano(now)
	b.endBans()
}

// age is the rest of turn. It may forget peers.
func (b *Book) age(moves int) {
	b.sweep()
	b.advance(moves)
	if len(b.contests) > 0 {
		b.judge()
	}
}

func (b *Book) find(id transport.NodeID) (uint32, *entry) {
	k := keyOf(id)
	return b.findKey(&k)
}

func (b *Book) findKey(k *nodeKey) (uint32, *entry) {
	if b.last < b.entries.next {
		if e := b.at(b.last); e.key == k.raw && e.is(live) && e.is(named) == k.named {
			return b.last, e
		}
	}
	return b.findHashed(k, b.ids.hash(k))
}

func (b *Book) findHashed(k *nodeKey, hash uint64) (uint32, *entry) {
	slot, ok := b.ids.find(hash, func(slot uint32) bool {
		e := b.at(slot)
		return e.key == k.raw && e.is(named) == k.named
	})
	if !ok {
		return 0, nil
	}
	b.last = slot
	return slot, b.at(slot)
}

// insert makes an entry with no address. The caller fills it and calls reindex.
func (b *Book) insert(id transport.NodeID) (uint32, *entry) {
	k := keyOf(id)
	return b.insertKey(&k, b.ids.hash(&k), id)
}

func (b *Book) insertKey(k *nodeKey, hash uint64, id transport.NodeID) (uint32, *entry) {
	slot := b.entries.take()
	if next, ok := b.entries.upcoming(); ok {
		b.at(next).prefetch()
	}
	e := b.at(slot)
	e.key, e.firstSeen, e.flags = k.raw, b.now, live
	if k.named {
		e.flags |= named
		b.names[slot] = transport.NodeID([]byte(id))
	}
	b.ids.put(hash, slot)
	return slot, e
}

func (b *Book) remove(slot uint32, e *entry) {
	b.journal.removed(slot, e, b)
	b.exit(e)
	b.toTable(e, Any)
	b.ofKind[e.kind]--
	if e.set != noSet {
		b.leave(slot, e)
	}
	b.unshare(e)
	b.setWaits(e, false)
	if e.is(parked) {
		delete(b.parked, slot)
	}
	b.dropAddresses(e)
	b.dropExtra(e)
	if e.is(stored) {
		b.stored--
	}
	k := e.nodeKey()
	if b.over != nil {
		b.over[k] = struct{}{}
	}
	b.ids.drop(b.ids.hash(&k), slot)
	delete(b.names, slot)
	b.entries.give(slot)
}

// known is how many peers there are.
func (b *Book) known() int { return b.ids.n }

// prune removes peers beyond the limit, as long as there are any that may go: the lowest level first, new ones before tried ones; of a few of these the one
// in the fullest bucket, so that who floods the book pushes out his own. It says whether anybody went.
func (b *Book) prune() (some bool) {
	for b.known() > b.limits.MaxPeers {
		slot, ok := b.victim(Any, New)
		if !ok {
			slot, ok = b.victim(Tried, Tried)
		}
		if !ok {
			break
		}
		b.remove(slot, b.at(slot))
		some = true
	}
	return some
}

// victim chooses who of the tables from and to must go.
func (b *Book) victim(from, to Table) (uint32, bool) {
	for level := range levels {
		total := 0
		var among [4]setID
		n := 0
		for table := from; table <= to; table++ {
			for _, far := range [...]bool{false, true} {
				among[n] = learnedSet(false, table, far, level)
				total += len(b.sets[among[n]].slots)
				n++
			}
		}
		if total == 0 {
			continue
		}
		victim, most := uint32(0), -1
		for range min(victimLooks, total) {
			at := b.random.IntN(total)
			i := 0
			for at >= len(b.sets[among[i]].slots) {
				at -= len(b.sets[among[i]].slots)
				i++
			}
			slot := b.sets[among[i]].slots[at]
			crowd := bucketSize // without an address, or a place
			if e := b.at(slot); e.cell != 0 {
				crowd = b.tableOf(e.table).heads[(e.cell-1)/bucketSize].used()
			}
			if crowd > most {
				victim, most = slot, crowd
			}
		}
		return victim, true
	}
	return 0, false
}

// Get returns a copy of what is known of a peer.
func (b *Book) Get(id transport.NodeID) (Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var r Record
	_, e := b.find(id)
	if e != nil {
		b.read(e, id, &r)
	}
	return r, e != nil
}

// Remove forgets a peer.
func (b *Book) Remove(id transport.NodeID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot, e := b.find(id)
	if e != nil {
		b.remove(slot, e)
	}
	return e != nil
}

// Stats are the book's totals. Bans that have ended count until they are cleared away.
func (b *Book) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Known: b.known(), Tried: b.tried, New: b.known() - b.tried, Banned: b.bans.len()}
}

// Limits are those of the book, with the defaults in place of zeros.
func (b *Book) Limits() Limits { return b.limits }

// Groups tells the network group of addresses.
func (b *Book) Groups() *Groups { return b.limits.Groups }

// Flush has nothing to do.
func (b *Book) Flush(context.Context) error { return nil }

// Run waits for the end of ctx.
func (b *Book) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close has nothing to do.
func (b *Book) Close() error { return nil }
