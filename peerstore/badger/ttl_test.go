package badger

import (
	"context"
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

// TestExpiresAt wants an end on disk, after the book's own, for what ends by itself, and none for what does not.
func TestExpiresAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	now := time.Now()
	for n := range 4 {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
	}
	s.Update(storetest.ID(1), func(r *peerstore.Record) { r.Trusted = true })
	s.Update(storetest.ID(2), func(r *peerstore.Record) { r.Unconditional = true })
	s.Update(storetest.ID(3), func(r *peerstore.Record) { r.Busy, r.LastConnected = true, now })
	for n, until := range []time.Time{now.Add(time.Hour), {}, now.AddDate(-1, 0, 0)} {
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(10 + n)}, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *Store, expiry time.Duration) {
		t.Helper()
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		peer := func(n int) []byte { return appendNode([]byte{peerKey}, storetest.ID(n)) }
		ban := func(n int) []byte { return nameKey(banKey, string(storetest.ID(10+n))) }
		for _, key := range [][]byte{peer(1), peer(2), ban(1), {versionKey}, {totalsKey}, nameKey(metaKey, "peerstore/key")} {
			if at := expires(t, s, key); at != 0 {
				t.Errorf("%.16x ends at %d", key, at)
			}
		}
		if at, want := expires(t, s, peer(0)), now.Add(expiry+grace).Unix(); at != uint64(want) {
			t.Errorf("a learned peer ends at %d, want %d", at, want)
		}
		if at, want := expires(t, s, ban(0)), now.Add(time.Hour+grace).Unix(); at != uint64(want) {
			t.Errorf("a ban ends at %d, want %d", at, want)
		}
	}
	check(s, peerstore.DefaultExpiry)
	if at := expires(t, s, appendNode([]byte{peerKey}, storetest.ID(3))); at != 0 {
		t.Errorf("a busy peer ends at %d", at)
	}
	// One that ended long ago stays until the book, which counts, has let go of it.
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(20)}, Until: now.AddDate(-1, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	if at := expires(t, s, nameKey(banKey, string(storetest.ID(20)))); at < uint64(now.Add(grace).Unix()) {
		t.Errorf("a ban that has ended goes at %d", at)
	}
	s.Update(storetest.ID(1), func(r *peerstore.Record) { r.Trusted = false })
	s.Update(storetest.ID(1), func(r *peerstore.Record) { r.Trusted = true })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Who lets peers live longer finds them written so.
	longer := 90 * 24 * time.Hour
	s = open(t, path, Options{Limits: peerstore.Limits{Expiry: longer}})
	if st := s.Stats(); st.Known != 4 {
		t.Fatalf("%+v", st)
	}
	check(s, longer)
}

// TestLongUnused wants a store that nobody opened for so long that the database may have dropped peers and bans by itself not to be called a damaged one; what is
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
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		value, err := proto.Marshal(&switchyardpb.StoreTotals{Sequence: s.sequence, Peers: 4, Bans: 1, Written: stamp(time.Now().Add(-c.unused))})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, []byte{totalsKey}, value)
		putUntil(t, s, appendNode([]byte{peerKey}, storetest.ID(0)), nil, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		log, logger := newLog()
		s = open(t, path, Options{Logger: logger})
		if told := strings.Contains(log.text(), "missing_peers=1"); told != c.told || s.Stats().Known != 3 {
			t.Errorf("unused for %v: %+v %s", c.unused, s.Stats(), log.text())
		}
	}
}
