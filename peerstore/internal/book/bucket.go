package book

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Learned peers with an address are in one of two tables: new ones that others reported, and tried ones that were
// dialed with success. Each table has buckets of bucketSize places. Which bucket a peer belongs to follows from a
// secret key, its address's network group and, in the new table, the network group of the peer that reported it. An
// attacker with few groups reaches few buckets, and cannot know which:
//
//	new    one source group reaches 1/32 of the buckets (at least 8),
//	       one address group reported by one source group 1/4096 (at least one bucket)
//	tried  one address group reaches 1/32 of the buckets
//
// The new table has places for twice MaxPeers, the tried table for half as many. With 100,000 peers these are 3,125 and
// 782 buckets, of which a source group fills 98 (6,272 places), an address group 25 (1,600 places) of the tried ones.
//
// In a full bucket of the new table a peer takes the place of a worse one, if a random look finds one; else it is not
// learned. A bucket of the tried table gives no place away without a test: see contest.
const (
	bucketSize   = 64
	newPlaces    = 2 // times MaxPeers
	triedPlaces  = 2 // MaxPeers divided by it
	sourceShare  = 32
	pairShare    = 4096
	groupShare   = 32
	leastBuckets = 64
	// buckets that a source group reaches in a small table, so that a small network is learned from few
	leastReach = 8
)

// buckets are the two tables, as lists of the entries in each bucket.
type buckets struct {
	key    [16]byte // persisted: a new one would shuffle all places
	groups *peerstore.Groups
	tables [2][][]*entry
}

func newBuckets(limits *peerstore.Limits, key [16]byte) buckets {
	return buckets{key, limits.Groups, [2][][]*entry{
		peerstore.New - 1:   make([][]*entry, max(newPlaces*limits.MaxPeers/bucketSize, leastBuckets)),
		peerstore.Tried - 1: make([][]*entry, max(limits.MaxPeers/triedPlaces/bucketSize, leastBuckets)),
	}}
}

// at returns the bucket that e belongs to in a table: by its first address in the new table, and in the tried table by
// the one that worked last. Where a group has several buckets, nodes at one place share one.
func (b *buckets) at(e *entry, t peerstore.Table) uint32 {
	n := uint64(len(b.tables[t-1]))
	a, shares := &e.addresses[0], n/pairShare
	if t == peerstore.Tried {
		shares = n / groupShare
		for i := range e.addresses {
			if o := &e.addresses[i]; o.lastWorked > a.lastWorked {
				a = o
			}
		}
	}
	turn, group, none := uint64(0), b.groups.Of(e.where(a)), peerstore.Group{}
	if shares > 1 {
		host := string(a.ip[:])
		if a.other != nil {
			host = a.other.Host()
		}
		turn = b.hash('a', host, none, none, uint64(a.portNumber())) % shares
	}
	if t == peerstore.Tried {
		return uint32(b.hash('t', "", group, none, turn) % n)
	}
	pair := b.hash('p', "", group, a.source.group, turn) % max(n/sourceShare, leastReach)
	return uint32(b.hash('n', "", a.source.group, none, pair) % n)
}

// hash mixes a text, two groups and a number under the key. purpose keeps the uses apart.
func (b *buckets) hash(purpose byte, text string, x, y peerstore.Group, n uint64) uint64 {
	in := append(append(make([]byte, 0, 128), b.key[:]...), purpose)
	in = append(in, text...)
	in = binary.BigEndian.AppendUint64(y.AppendTo(x.AppendTo(in)), n)
	sum := sha256.Sum256(in)
	return binary.BigEndian.Uint64(sum[:])
}

// enter moves e to its bucket of the table, if that has room; otherwise it returns the full bucket.
func (b *buckets) enter(e *entry, t peerstore.Table) (full []*entry) {
	i := b.at(e, t)
	bucket := &b.tables[t-1][i]
	if len(*bucket) == bucketSize {
		return *bucket
	}
	b.exit(e)
	*bucket = append(*bucket, e)
	e.bucket = i + 1
	return nil
}

// exit takes e out of its bucket.
func (b *buckets) exit(e *entry) {
	if e.bucket == 0 {
		return
	}
	bucket := &b.tables[e.table-1][e.bucket-1]
	end := len(*bucket) - 1
	for i, o := range *bucket {
		if o == e {
			(*bucket)[i], (*bucket)[end] = (*bucket)[end], nil
			break
		}
	}
	*bucket = (*bucket)[:end]
	e.bucket = 0
}

// neighbours counts the entries of e's bucket; a full bucket's number if e has none.
func (b *buckets) neighbours(e *entry) int {
	if e.bucket == 0 {
		return bucketSize
	}
	return len(b.tables[e.table-1][e.bucket-1])
}

// enterNew places e in its bucket of the new table. In a full one it takes the place of a worse peer, if there is one
// among a few, and with force of any that is not busy. It reports whether e has a place.
func (c *catalog) enterNew(e *entry, force bool) bool {
	full := c.buckets.enter(e, peerstore.New)
	if full != nil {
		victim := c.worse(full, e, force)
		if victim == nil {
			return false
		}
		c.remove(victim)
		c.buckets.enter(e, peerstore.New)
	}
	c.setTable(e, peerstore.New)
	return true
}

// worse looks for an entry of a full bucket that is worse than e; with force, for any that is not busy.
func (c *catalog) worse(full []*entry, e *entry, force bool) (victim *entry) {
	least := e.level(c.now)
	look := func(o *entry) {
		if o.is(busy) || o.rank == unfiled {
			return
		}
		if level := o.rank.level(); level < least || force && victim == nil {
			victim, least = o, level
		}
	}
	for range victimLooks {
		look(full[c.random.IntN(len(full))])
	}
	for i := 0; force && victim == nil && i < len(full); i++ {
		look(full[i])
	}
	return victim
}

// place brings e to the table and bucket in which it belongs. A peer without an address has neither. Trusted,
// unconditional and configured peers have a table, by whether they have worked, and no bucket. A learned peer has no
// bucket while all peers in it are busy.
func (c *catalog) place(e *entry, ch change) {
	e.set(configured, slices.ContainsFunc(e.addresses, func(a address) bool { return a.source.Configured() }))
	switch {
	case len(e.addresses) == 0: // usually it was removed
		c.buckets.exit(e)
		c.setTable(e, peerstore.Any)
	case e.is(kept):
		c.buckets.exit(e)
		if e.lastWorked() != 0 {
			c.setTable(e, peerstore.Tried)
		} else {
			c.setTable(e, peerstore.New)
		}
	default:
		c.placeLearned(e, ch)
	}
	for i := range e.addresses {
		e.addresses[i].count(i == 0 && e.table == peerstore.New && !e.is(kept))
	}
}

// placeLearned places a learned peer that has an address:
//
//   - A tried peer stays where it is. If its address or source has changed, its bucket may be another one, which must
//     have room. If it has not, or no address is left that has worked, the peer leaves the table.
//   - A peer that has just worked, or just left the tried table, enters the tried table. If its bucket there is full,
//     it contests a place and stays a new peer for now.
//   - A new peer without a bucket enters the one that it belongs to, in the place of another if that is full.
func (c *catalog) placeLearned(e *entry, ch change) {
	hasWorked := e.lastWorked() != 0
	if ch.moved || e.table == peerstore.Tried && !hasWorked {
		c.buckets.exit(e)
	}
	if e.table == peerstore.Tried {
		if e.bucket != 0 || hasWorked && c.buckets.enter(e, peerstore.Tried) == nil {
			return
		}
		c.setTable(e, peerstore.Any)
	}
	if hasWorked && (ch.worked || e.table == peerstore.Any) {
		full := c.buckets.enter(e, peerstore.Tried)
		if full == nil {
			c.setTable(e, peerstore.Tried)
			return
		}
		c.contests.begin(e, full, c.now, c.random)
	}
	if e.bucket == 0 && !c.enterNew(e, true) {
		c.setTable(e, peerstore.New) // it has no bucket until its next change
	}
}

// setTable notes which table e is in.
func (c *catalog) setTable(e *entry, t peerstore.Table) {
	if (t == peerstore.Tried) != (e.table == peerstore.Tried) {
		c.tried += 2*b2i(t == peerstore.Tried) - 1
		if e.rank != unfiled { // who inserts an entry decides whether it is a change
			c.changes.note(e) // InTried is persisted
		}
	}
	e.table = t
}

// Buckets returns how full the buckets are.
func (b *Book) Buckets() peerstore.Buckets {
	b.mu.Lock()
	defer b.mu.Unlock()
	fill := func(t peerstore.Table) []int {
		out := make([]int, len(b.c.buckets.tables[t-1]))
		for i, bucket := range b.c.buckets.tables[t-1] {
			out[i] = len(bucket)
		}
		return out
	}
	return peerstore.Buckets{New: fill(peerstore.New), Tried: fill(peerstore.Tried), Size: bucketSize}
}
