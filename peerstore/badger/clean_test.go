package badger

import (
	"path/filepath"
	"testing"
	"time"

	bdb "github.com/dgraph-io/badger/v4"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// pagesOn are the numbers of all pages in the database, and how many other peers there are.
func pagesOn(t *testing.T, s *Store) (pages []uint64, peers int) {
	t.Helper()
	if err := s.db.View(func(txn *bdb.Txn) error {
		it := txn.NewIterator(bdb.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if n, ok := numberOfPage(it.Item().Key()); ok {
				pages = append(pages, n)
			} else if it.Item().Key()[0] == peerKey {
				peers++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return pages, peers
}

// TestClean changes peers again and again. There are never many more records than the limits say, nothing is lost when the store is left in the middle of a pass, and passes
// that never end are done when the store is opened.
func TestClean(t *testing.T) {
	const peers = 1000
	opts := Options{floor: 100, least: 10}
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, opts)
	random, now := seeded(t), time.Now()
	heights := make([]uint64, peers)
	for n := range peers {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
	}
	passes, kills := 0, 0
	for round := range 1500 {
		for range 1 + random.IntN(20) {
			n := random.IntN(peers)
			heights[n]++
			if s.Update(storetest.ID(n), func(r *peerstore.Record) { r.Height = heights[n] }); random.IntN(50) == 0 {
				s.Remove(storetest.ID(n))
				s.Ensure(storetest.ID(n), now, func(r *peerstore.Record) { r.Height = heights[n] })
			}
		}
		first := s.first
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.first != first {
			passes++
			if pages, _ := pagesOn(t, s); pages[0] != s.first || uint64(len(pages)) != s.page-s.first+1 {
				t.Fatalf("of the pages %d to %d these are there: %d", s.first, s.page, pages)
			}
		}
		most := 4
		if kills > 0 { // in the middle of a pass
			most = cleanMost + 2
		}
		if s.records > most*peers+opts.floor {
			t.Fatalf("round %d: %d records of %d peers", round, s.records, peers)
		}
		if s.pass.on && random.IntN(40) == 0 || round%500 == 499 {
			kills++
			s.abandon()
			log, logger := newLog()
			opts.Logger = logger
			if s = open(t, path, opts); log.text() != "" {
				t.Fatal(log.text())
			}
			for n, want := range heights {
				if r, _ := s.Get(storetest.ID(n)); r.Height != want {
					t.Fatalf("round %d: %+v, want height %d", round, r, want)
				}
			}
		}
	}
	if passes < 3 || kills < 5 {
		t.Errorf("%d passes, %d kills", passes, kills)
	}
}
