package badger

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// expires is when the database lets go of a key by itself; 0: never.
func expires(t *testing.T, s *Store, key []byte) (at uint64) {
	t.Helper()
	if err := s.db.View(func(txn *bdb.Txn) error {
		item, err := txn.Get(key)
		if err == nil {
			at = item.ExpiresAt()
		}
		return err
	}); err != nil {
		t.Fatalf("%.16x: %v", key, err)
	}
	return at
}

// TestExpiresAt wants an end on disk, after the book's own, for bans that have one, and none for what has none; nor for pages, or an older one could hold again.
func TestExpiresAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	now := time.Now()
	s.Add(storetest.Address(1, 1), storetest.Told(1), now)
	for n, until := range []time.Time{now.Add(time.Hour), {}, now.AddDate(-1, 0, 0)} {
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(10 + n)}, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ban := func(n int) []byte { return nameKey(banKey, string(storetest.ID(10+n))) }
	for _, key := range [][]byte{keyOfPage(1), ban(1), {versionKey}, {totalsKey}, nameKey(metaKey, "peerstore/key")} {
		if at := expires(t, s, key); at != 0 {
			t.Errorf("%.16x ends at %d", key, at)
		}
	}
	if at, want := expires(t, s, ban(0)), now.Add(time.Hour+grace).Unix(); at != uint64(want) {
		t.Errorf("a ban ends at %d, want %d", at, want)
	}
	// One that ended long ago stays until the book, which counts, has let go of it.
	if at := expires(t, s, ban(2)); at < uint64(now.Add(grace).Unix()) {
		t.Errorf("a ban that has ended goes at %d", at)
	}
}

// TestLongUnused wants a store that nobody opened for so long that the database may have dropped bans by itself not to be called a damaged one; what is
// missing of a store in use is told.
func TestLongUnused(t *testing.T) {
	for _, c := range []struct {
		unused time.Duration
		told   bool
	}{{grace + time.Hour, false}, {grace - time.Hour, true}} {
		path := filepath.Join(t.TempDir(), "peers")
		s := open(t, path, Options{})
		for n := range 4 {
			s.Add(storetest.Address(n, 1), storetest.Told(n), time.Now())
		}
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(9)}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		value, err := proto.Marshal(&switchyardpb.StoreTotals{Sequence: s.sequence, Peers: 4, Bans: 1, Page: s.page, Written: stamp(time.Now().Add(-c.unused))})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, []byte{totalsKey}, value)
		putUntil(t, s, nameKey(banKey, string(storetest.ID(9))), nil, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(path, secondName)); err != nil { // which has the ban
			t.Fatal(err)
		}
		log, logger := newLog()
		s = open(t, path, Options{Logger: logger})
		if told := strings.Contains(log.text(), "missing_bans=1"); told != c.told || s.Stats().Known != 4 {
			t.Errorf("unused for %v: %+v %s", c.unused, s.Stats(), log.text())
		}
	}
}
