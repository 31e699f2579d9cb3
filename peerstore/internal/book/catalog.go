package book

import (
	"math/rand/v2"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// catalog is what the book's lock guards: the peers and their indexes.
//
//	peers    by node id
//	buckets  in the new and the tried table, which bound what a network group may fill
//	ranks    by rank, for pruning and Range
//	due      by network group if they may be dialed now, else by when
//	shares   in a few sets that Advertise draws from
//
// Every change of an entry ends with file, which moves it to where it belongs in each index, in O(log n). Nothing is
// ever sorted or scanned as a whole. What changes with time alone is done in bounded steps: see advanceClock. So an
// index may be late, and code that finds an entry by one checks it: see settle.
type catalog struct {
	limits peerstore.Limits
	random *rand.Rand // all choices come from it
	now    int64      // the time that the last call told
	told   time.Time  // the same

	peers    map[nodeKey]*entry
	sources  sources
	buckets  buckets
	tried    int // peers in the tried table
	contests contests
	ranks    [ranks]bag
	due      due
	shares   shares
	worked   [2]int64 // when an address last worked in this run; the second one is of routable addresses
	forgot   uint64   // how many peers were forgotten
	bans     bans
	changes  changes
	scratch  peerstore.Record // what update's fn changes
}

func (c *catalog) find(id transport.NodeID) *entry { return c.peers[keyOf(id)] }

// insert makes an entry without addresses. The caller fills it and files it. id is needed only for a hashed key.
func (c *catalog) insert(key nodeKey, id transport.NodeID) *entry {
	e := &entry{key: key, rank: unfiled, due: never, firstSeen: c.now, details: &noDetails}
	if key.hashed {
		e.details = &details{name: id}
	}
	c.peers[key] = e
	if len(c.changes.removed) > 0 {
		if _, listed := c.changes.removed[e.id()]; listed { // it is still persisted
			delete(c.changes.removed, e.id())
			e.set(stored, true)
		}
	}
	return e
}

// file moves e to where it belongs in all indexes: nowhere once it is gone. It may remove other entries, never e.
func (c *catalog) file(e *entry, ch change) {
	c.place(e, ch)
	c.fileRank(e)
	c.fileDue(e)
	c.fileShare(e)
}

// remove forgets an entry.
func (c *catalog) remove(e *entry) {
	delete(c.peers, e.key)
	e.set(gone, true)
	c.sources.dropAll(e)
	c.file(e, change{})
	c.changes.noteGone(e)
}
