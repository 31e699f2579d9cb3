package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

func open(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	reopen := func(t testing.TB, old *Store, now time.Time) peerstore.Store {
		opts := old.opts
		opts.Seed++
		opts.little = littleToLoad * int64(opts.Seed%2) // in turn from the files and from the database
		if opts.little == 0 {
			opts.little = -1
		}
		opts.now = func() time.Time { return now }
		return open(t, old.path, opts)
	}
	storetest.Run(t, storetest.Factory{
		Ops: 4000, // each ban waits for the disk
		New: func(t testing.TB, l peerstore.Limits, seed uint64) peerstore.Store {
			return open(t, filepath.Join(t.TempDir(), "data", "peers"), Options{Limits: l, Seed: seed, floor: 10, least: 1})
		},
		ReopenEvery: 500, // it takes as long as hundreds of operations
		Reopen: func(t testing.TB, s peerstore.Store, now time.Time) peerstore.Store {
			old := s.(*Store)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return reopen(t, old, now)
		},
		Crash: func(t testing.TB, s peerstore.Store, now time.Time) peerstore.Store {
			old := s.(*Store)
			old.abandon() // what was not written is lost; TestKill really kills
			return reopen(t, old, now)
		},
	})
}

// abandon releases the files without writing what has changed.
func (s *Store) abandon() {
	s.writing <- struct{}{}
	s.closed = true
	_ = s.release()
	<-s.writing
}

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func newLog() (*logged, *slog.Logger) {
	l := &logged{}
	return l, slog.New(slog.NewTextHandler(l, nil))
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	open(t, path, Options{})
	_, err := Open(path, Options{})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
}

func TestPathIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "peers"), filepath.Join(file, "a", "peers")} {
		_, err := Open(path, Options{})
		var se *StoreError
		if !errors.Is(err, ErrNotFolder) || !errors.As(err, &se) || se.Path != path {
			t.Error(err)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "x" {
		t.Fatal("the file was touched")
	}
}

func TestNotWritable(t *testing.T) {
	// Of a folder that nobody may write to there is one on every Linux, whoever runs the test.
	path := "/proc/self/peers"
	if _, err := os.Stat("/proc/self"); err != nil {
		dir := filepath.Join(t.TempDir(), "locked")
		if err := os.Mkdir(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(dir, "peers")
	}
	_, err := Open(path, Options{})
	var pe *fs.PathError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	_, err := Open(path, Options{MinFree: 1 << 62})
	if !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	s.opts.MinFree = 1 << 62
	now := time.Now()
	s.Add(storetest.Address(1, 1), peerstore.Source{}, now)
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(2)}}); !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Banned != 1 || st.Known != 1 {
		t.Fatal("what cannot be written holds in memory all the same:", st)
	}
	if err := s.Flush(context.Background()); !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	s.opts.MinFree = 0
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if st := s.Stats(); st.Banned != 1 || st.Known != 1 {
		t.Fatal("what could not be written at first was lost:", st)
	}
}

func TestNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	put(t, s, []byte{versionKey}, []byte{schemaVersion + 1})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrNewer) {
		t.Fatal(err)
	}
	if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) > 0 {
		t.Fatal("set aside", aside)
	}
}

func put(t *testing.T, s *Store, key, value []byte) {
	t.Helper()
	putUntil(t, s, key, value, 0)
}

// putUntil puts a value that the database lets go of in a second.
func putUntil(t *testing.T, s *Store, key, value []byte, end uint64) {
	t.Helper()
	s.version++
	txn := s.db.NewTransactionAt(s.version, true)
	if err := txn.SetEntry(&bdb.Entry{Key: key, Value: value, ExpiresAt: end}); err != nil {
		t.Fatal(err)
	}
	if err := txn.CommitAt(s.version, nil); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedValues wants pages, peers and bans that cannot be read left out, counted and told of once.
func TestDamagedValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	now := time.Now()
	add := func(from, to int) {
		for n := from; n < to; n++ {
			s.Add(storetest.Address(n, 1), storetest.Told(n), now)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 10)
	add(10, 15)
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(50)}}); err != nil {
		t.Fatal(err)
	}
	node := appendNode(nil, storetest.ID(3))
	packed, _, err := next(value(t, s, keyOfPage(1)))
	if err != nil || packed.tag != pagePacked {
		t.Fatal(packed, err)
	}
	plain, err := unpack(nil, packed.bytes)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(plain, node, append(bytes.Clone(node[:len(node)-1]), 0xff), 1) // its address and its node then differ
	bad = appendPeerTo(bad, append(protowire.AppendBytes(protowire.AppendVarint(nil, peerNode), node), 0xff))
	put(t, s, keyOfPage(1), bad)
	put(t, s, keyOfPage(2), []byte("\xff\xff\xff"))
	put(t, s, nameKey(banKey, "nonsense"), nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, logger := newLog()
	s = open(t, path, Options{Logger: logger})
	if st := s.Stats(); st.Known != 10 || st.Banned != 1 {
		t.Fatal(st)
	}
	for _, want := range []string{"missing_peers=4", "unreadable_pages=1", "unreadable_peers=1", "unreadable_bans=1", "read_peers=10", "read_bans=1"} {
		if !strings.Contains(log.text(), want) {
			t.Errorf("no %q in %s", want, log.text())
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, logger = newLog()
	open(t, path, Options{Logger: logger})
	if log.text() != "" {
		t.Fatal("told of again:", log.text())
	}
}

// value is what the database has under a key.
func value(t *testing.T, s *Store, key []byte) (v []byte) {
	t.Helper()
	if err := s.db.View(func(txn *bdb.Txn) error {
		item, err := txn.Get(key)
		if err == nil {
			v, err = item.ValueCopy(nil)
		}
		return err
	}); err != nil {
		t.Fatalf("%.16x: %v", key, err)
	}
	return v
}

// TestWriteBehind wants changes on disk without a flush while Run runs.
func TestWriteBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{Interval: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	now := time.Now()
	for n := range 20_000 {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
	}
	for written := uint64(0); written < 20_000; {
		_ = s.db.View(func(txn *bdb.Txn) error {
			item, err := txn.Get([]byte{totalsKey})
			if err != nil {
				return err
			}
			return item.Value(func(v []byte) error { written = readTotals(v).GetPeers(); return nil })
		})
	}
	s.Ensure(storetest.ID(30_000), now, func(r *peerstore.Record) { r.Trusted = true })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, peerstore.ErrClosed) {
		t.Fatal(err)
	}
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(1)}}); !errors.Is(err, peerstore.ErrClosed) {
		t.Fatal(err)
	}
	if n := s.Stats().Known; n != 20_001 { // memory goes on
		t.Fatal(n)
	}
	if n := open(t, path, Options{}).Stats().Known; n != 20_001 {
		t.Fatal(n)
	}
}

// TestTotals wants the totals on disk to be those of what is on disk, whatever happens in which order.
func TestTotals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{Limits: peerstore.Limits{MaxPeers: 50}})
	now := time.Now()
	for round := range 30 {
		for n := range 40 {
			s.Add(storetest.Address(round*7+n, 1), peerstore.Source{}, now)
			if n%5 == round%5 {
				s.Remove(storetest.ID(round*7 + n))
			}
		}
		var err error
		switch round % 3 {
		case 0:
			err = s.Flush(t.Context())
		case 1:
			err = s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(round)}})
		case 2:
			s.Update(storetest.ID(round*7+11), func(r *peerstore.Record) { r.Trusted = !r.Trusted })
		}
		if err != nil {
			t.Fatal(err)
		}
		l := &loader{book: peerstore.NewBook(peerstore.Limits{}, 1), now: now}
		if err := l.load(database{s.db}); err != nil {
			t.Fatal(err)
		}
		head := s.head.read()
		if l.totals.GetPeers() != uint64(l.peers) || l.totals.GetBans() != uint64(l.bans) || head.GetSequence() != l.totals.GetSequence() {
			t.Fatalf("round %d: %d peers and %d bans are there, totals %v, head %v", round, l.peers, l.bans, l.totals, head)
		}
	}
}

func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	s, err := Open(filepath.Join(dir, "peers"), Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Add(storetest.Address(1, 26656), peerstore.Source{Kind: "pex"}, time.Now())
	_ = s.Close()
	fmt.Println(s.Stats().Known)
	// Output: 1
}
