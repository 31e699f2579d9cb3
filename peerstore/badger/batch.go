package badger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
)

// batch is what is to be written at once. The database gets it in the order of keys, and so finds their places in half the time. It is no transaction: for one the
// database makes a map first, which is in no order. So a kill may leave a part of a batch. None says anything about another, but for the totals: what is removed comes
// behind them, all else before, so never is there less than they say.
type batch struct {
	items []item
	gone  map[string]struct{} // keys to remove, unless they are put again
	room  [][]byte            // memory that keys and values share
	used  int                 // how many pieces of it are in use
}

// item is one value of a batch.
type item struct {
	begin      uint64 // of its key, to compare most keys by
	number     int32  // of several of one key the last prevails
	key, value []byte
	end        uint64 // the second in which the database may let go of it; 0: never
}

func (a *item) compare(b *item) int {
	return cmp.Or(cmp.Compare(a.begin, b.begin), bytes.Compare(a.key, b.key), cmp.Compare(a.number, b.number))
}

// grace is for how long after its end the database keeps what ends by itself: a peer that was not seen for Limits.Expiry, a ban with an end. While a store is in use,
// or is opened within that time, it is the book that lets go of them, and counts them right. What lies unused for longer shrinks by itself, at the next compaction.
const grace = 30 * 24 * time.Hour

// roomSize is the size of a piece of memory, of which nothing takes more than a quarter as a rule.
const roomSize = 32 << 10

// reset empties the batch, whose memory is used again.
func (b *batch) reset() {
	for i := range b.used {
		b.room[i] = b.room[i][:0]
	}
	b.items, b.used = b.items[:0], 0
	clear(b.gone)
}

// space is memory to append a key and its value to.
func (b *batch) space() []byte {
	if b.used == 0 || len(b.room[b.used-1]) > roomSize*3/4 {
		if b.used == len(b.room) {
			b.room = append(b.room, make([]byte, 0, roomSize))
		}
		b.used++
	}
	return b.room[b.used-1][len(b.room[b.used-1]):]
}

// putSpace puts a key of so many bytes and its value, which were appended to the space.
func (b *batch) putSpace(entry []byte, key int, end uint64) {
	piece := &b.room[b.used-1]
	if n := len(*piece) + len(entry); n <= cap(*piece) { // else append has found room elsewhere
		*piece = (*piece)[:n]
	}
	b.put(entry[:key:key], entry[key:], end)
}

// put adds a value, which must not change any more. Some time after end, in seconds (0: never), the database may let go of it.
func (b *batch) put(key, value []byte, end uint64) {
	if len(b.gone) > 0 {
		delete(b.gone, string(key))
	}
	var begin [8]byte
	copy(begin[:], key)
	b.items = append(b.items, item{binary.BigEndian.Uint64(begin[:]), int32(len(b.items)), key, value, end})
}

// del removes a key.
func (b *batch) del(key []byte) {
	if b.gone == nil {
		b.gone = make(map[string]struct{})
	}
	b.gone[string(key)] = struct{}{}
}

// write writes the batch and the totals as the next version of the database.
func (b *batch) write(db *bdb.DB, version uint64, totals []byte) error {
	slices.SortFunc(b.items, func(x, y item) int { return x.compare(&y) })
	const pending = 4 // pieces that the database has not written yet
	to := db.NewKVLoader(pending)
	err := b.load(to, version, totals)
	if e := to.Finish(); err == nil {
		err = e
	}
	if err == nil {
		db.SetDiscardTs(version)
	}
	return err
}

func (b *batch) load(to *bdb.KVLoader, version uint64, totals []byte) error {
	kv := pb.KV{Version: version}
	for i := range b.items {
		kv.Key, kv.Value, kv.ExpiresAt = b.items[i].key, b.items[i].value, b.items[i].end
		if err := to.Set(&kv); err != nil {
			return err
		}
	}
	kv.Key, kv.Value, kv.ExpiresAt = []byte{totalsKey}, totals, 0
	if err := to.Set(&kv); err != nil {
		return err
	}
	kv.Value, kv.Meta = nil, []byte{metaDeleted}
	for key := range b.gone {
		kv.Key = []byte(key)
		if err := to.Set(&kv); err != nil {
			return err
		}
	}
	return nil
}
