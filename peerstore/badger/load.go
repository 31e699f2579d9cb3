package badger

import (
	"fmt"
	"sync"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A loader puts entries into the book and counts what it met. Its add may be called by several goroutines.
type loader struct {
	book *peerstore.Book
	now  time.Time

	mu sync.Mutex
	loaded
}

// loaded is what a loader met.
type loaded struct {
	peers, bans  int // whether they could be read or not
	badPeers     int
	badBans      int
	badMeta      int
	badAddresses int
	version      int
	totals       *switchyardpb.StoreTotals // nil: none
	drop         [][]byte                  // keys of what cannot be read or does not hold any more
}

// unreadable is how many values could not be read.
func (l *loaded) unreadable() int { return l.badPeers + l.badBans + l.badMeta }

func (l *loader) add(key, value []byte) {
	var peers, bans, badPeers, badBans, badMeta, badAddresses int
	drop := false
	switch key[0] {
	case peerKey:
		peers = 1
		r, bad, err := decodePeer(key[1:], value)
		badAddresses = bad
		if err != nil {
			badPeers, drop = 1, true
		} else {
			l.book.RestorePeer(&r, l.now)
		}
	case banKey:
		bans = 1
		ban, err := decodeBan(key[1:], value)
		if err != nil {
			badBans, drop = 1, true
		} else {
			drop = !l.book.RestoreBan(ban, l.now)
		}
	case metaKey:
		if !l.book.RestoreMeta(string(key[1:]), value) {
			badMeta, drop = 1, true
		}
	case versionKey:
		if len(value) == 1 {
			l.mu.Lock()
			l.version = int(value[0])
			l.mu.Unlock()
		}
		return
	case totalsKey:
		var t switchyardpb.StoreTotals
		if proto.Unmarshal(value, &t) == nil {
			l.mu.Lock()
			l.totals = &t
			l.mu.Unlock()
		}
		return
	default:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers += peers
	l.bans += bans
	l.badPeers += badPeers
	l.badBans += badBans
	l.badMeta += badMeta
	l.badAddresses += badAddresses
	if drop {
		l.drop = append(l.drop, append([]byte(nil), key...))
	}
}

// loadWorkers decode while one goroutine reads.
const loadWorkers = 2

type pair struct{ key, value []byte }

// database reads all of the database. It stops early at a version that it does not know.
func (l *loader) database(db *bdb.DB) error {
	if err := l.readVersion(db); err != nil {
		return err
	}
	// The small values first: the key that places peers is among them.
	if err := db.View(func(txn *bdb.Txn) error { return l.readMeta(txn) }); err != nil {
		return err
	}
	pages := make(chan []pair, loadWorkers)
	var g errgroup.Group
	for range loadWorkers {
		g.Go(func() error {
			for page := range pages {
				for _, p := range page {
					if p.key[0] != metaKey {
						l.add(p.key, p.value)
					}
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(pages)
		return db.View(func(txn *bdb.Txn) error { return readAll(txn, pages) })
	})
	return g.Wait()
}

func (l *loader) readMeta(txn *bdb.Txn) error {
	opts := bdb.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, []byte{metaKey}
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if err := item.Value(func(value []byte) error { l.add(item.KeyCopy(nil), value); return nil }); err != nil {
			return fmt.Errorf("read %.16x: %w", item.Key(), err)
		}
	}
	return nil
}

func readAll(txn *bdb.Txn, pages chan<- []pair) error {
	opts := bdb.DefaultIteratorOptions
	opts.PrefetchValues = false // values lie beside the keys
	it := txn.NewIterator(opts)
	defer it.Close()
	const pageSize = 256
	page := make([]pair, 0, pageSize)
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		value, err := item.ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("read %.16x: %w", item.Key(), err)
		}
		page = append(page, pair{item.KeyCopy(nil), value})
		if len(page) == pageSize {
			pages <- page
			page = make([]pair, 0, pageSize)
		}
	}
	pages <- page
	return nil
}

func (l *loader) readVersion(db *bdb.DB) error {
	return db.View(func(txn *bdb.Txn) error {
		item, err := txn.Get([]byte{versionKey})
		if err == bdb.ErrKeyNotFound {
			return nil // new, or lost
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			if len(v) == 1 && v[0] > schemaVersion {
				return fmt.Errorf("%w (its schema is %d, this program knows %d)", ErrNewer, v[0], schemaVersion)
			}
			return nil
		})
	})
}
