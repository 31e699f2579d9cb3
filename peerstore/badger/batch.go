package badger

import (
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// batch is what is to be written at once. It is no transaction, as those have a bound: a kill may leave the beginning of it. Its totals come behind all that is put and name its
// last page, so a load leaves out the pages of a batch that was not finished; what is removed comes behind them, so never is there less than they say.
type batch struct {
	items   []item
	gone    map[string]struct{} // keys to remove, unless they are put again
	pages   [][]byte            // the key of each and then the page; of these so many are in use
	packed  [][]byte            // memory for these as they are written
	room    []byte              // memory to pack one
	used    int
	open    bool   // the last of them takes more
	number  uint64 // of the next page
	records int    // in the pages
	from    uint64 // pages from this one on are to be removed, up to (exclusive)
	to      uint64
	changes peerstore.Changes // memory to take changes into
}

// item is a value of a batch that is in no page.
type item struct {
	key, value []byte
	end        uint64 // the second in which the database may let go of it; 0: never
}

// grace is for how long after its end the database keeps a ban that has one. While a store is in use, or is opened within that time, it is the book that lets go of it, and
// counts it right. Pages have no end: with one an older page might hold again.
const grace = 30 * 24 * time.Hour

// reset empties the batch, whose memory is used again. The next page will have a number.
func (b *batch) reset(number uint64) {
	clear(b.gone)
	*b = batch{items: b.items[:0], gone: b.gone, pages: b.pages, packed: b.packed, room: b.room, number: number, changes: b.changes}
}

// page is the page to append a record to.
func (b *batch) page() *[]byte {
	if b.open && len(b.pages[b.used-1]) >= pageSize {
		b.open = false
	}
	if !b.open {
		if b.used == len(b.pages) {
			b.pages = append(b.pages, nil)
		}
		key := keyOfPage(b.number)
		delete(b.gone, string(key)) // one of a batch that was not finished
		b.pages[b.used] = append(b.pages[b.used][:0], key...)
		b.number++
		b.used++
		b.open = true
	}
	b.records++
	return &b.pages[b.used-1]
}

// put adds a value, which must not change any more. Some time after end, in seconds (0: never), the database may let go of it.
func (b *batch) put(key, value []byte, end uint64) {
	if len(b.gone) > 0 {
		delete(b.gone, string(key))
	}
	b.items = append(b.items, item{key, value, end})
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
	set := func(key, value []byte, end uint64) error {
		return to.Set(&pb.KV{Version: version, Key: key, Value: value, ExpiresAt: end})
	}
	for i := range b.items {
		if err := set(b.items[i].key, b.items[i].value, b.items[i].end); err != nil {
			return err
		}
	}
	const key = 1 + 8
	b.packed = append(b.packed, make([][]byte, b.used-min(b.used, len(b.packed)))...)
	for i, p := range b.pages[:b.used] {
		b.packed[i], b.room = packPage(b.packed[i][:0], p[key:], b.room)
		if err := set(p[:key], b.packed[i], 0); err != nil {
			return err
		}
	}
	if err := set([]byte{totalsKey}, totals, 0); err != nil {
		return err
	}
	del := func(key []byte) error {
		return to.Set(&pb.KV{Version: version, Key: key, Meta: []byte{metaDeleted}})
	}
	for key := range b.gone {
		if err := del([]byte(key)); err != nil {
			return err
		}
	}
	for n := b.from; n < b.to; n++ { // the oldest first: none may come to hold again because one behind it is gone
		if err := del(keyOfPage(n)); err != nil {
			return err
		}
	}
	return nil
}
