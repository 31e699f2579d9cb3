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
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
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
		opts.now = func() time.Time { return now }
		return open(t, old.path, opts)
	}
	storetest.Run(t, storetest.Factory{
		Ops: 4000, // each ban waits for the disk
		New: func(t testing.TB, l peerstore.Limits, seed uint64) peerstore.Store {
			return open(t, filepath.Join(t.TempDir(), "data", "peers"), Options{Limits: l, Seed: seed})
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
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by another process") ||
		!strings.Contains(err.Error(), path) {
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

// TestNewerSchema wants a store refused, and left as it is, that a later program wrote.
func TestNewerSchema(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *Store){
		"database": func(t *testing.T, s *Store) { put(t, s, []byte{versionKey}, []byte{schemaVersion + 1}) },
		"keep log": func(t *testing.T, s *Store) {
			data := appendLine(nil, &line{op: opKeep, schema: schemaVersion + 1})
			if err := os.WriteFile(s.file(keepName), data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		path := filepath.Join(t.TempDir(), "peers")
		s := open(t, path, Options{})
		change(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		before := listing(t, path)
		if _, err := Open(path, Options{}); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
		if after := listing(t, path); after != before {
			t.Errorf("%s: there was %s, now %s", name, before, after)
		}
	}
}

// listing names the files in a folder.
func listing(t *testing.T, path string) (names string) {
	t.Helper()
	files, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names += f.Name() + " "
	}
	return names
}

func put(t *testing.T, s *Store, key, value []byte) {
	t.Helper()
	if err := s.db.Update(func(txn *bdb.Txn) error { return txn.Set(key, value) }); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedValues wants peers that cannot be read left out, counted and told of once.
func TestDamagedValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	now := time.Now()
	for n := range 10 {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
	}
	s.Update(storetest.ID(4), func(r *peerstore.Record) { r.Trusted = true })
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := transport.ParseAddress("/dns/a.example/tcp/1/mconn/" + string(storetest.ID(5)))
	if err != nil {
		t.Fatal(err)
	}
	r := peerstore.Record{Addresses: []peerstore.AddressRecord{{Address: other}}, FirstSeen: now}
	value, err := encodePeer(&r)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, peerKeyOf(storetest.ID(3)), []byte("\xff\xff\xff"))
	put(t, s, peerKeyOf(storetest.ID(4)), []byte("\xff"))
	put(t, s, peerKeyOf(storetest.ID(6)), value) // an address of another node
	put(t, s, []byte{peerKey}, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, logger := newLog()
	s = open(t, path, Options{Logger: logger})
	if r, _ := s.Get(storetest.ID(4)); !r.Trusted || s.Stats().Known != 9 {
		t.Fatalf("%+v, %+v", r, s.Stats())
	}
	for _, want := range []string{"unreadable=4", "peers=9"} {
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
	for onDisk(t, s) < 20_000 {
		time.Sleep(time.Millisecond)
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
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(1)}}); !errors.Is(err,
		peerstore.ErrClosed) {
		t.Fatal(err)
	}
	if n := s.Stats().Known; n != 20_001 { // memory goes on
		t.Fatal(n)
	}
	if n := open(t, path, Options{}).Stats().Known; n != 20_001 {
		t.Fatal(n)
	}
}

// onDisk is how many peers the database has.
func onDisk(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.db.View(func(txn *bdb.Txn) error {
		return each(txn, peerKey, false, func(_, _ []byte) error { n++; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	return n
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

// TestClockAtAStart wants a store to hold all its peers whatever the clock shows when it is opened, and none of them to
// wait for a time that a wrong clock has set.
func TestClockAtAStart(t *testing.T) {
	const peers = 300
	path, right := t.TempDir(), time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, at := range []time.Time{right, right.AddDate(0, 0, 32), right.AddDate(0, 0, 60),
		time.Date(2260, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), right} {
		s, _, err := openAt(path, at)
		if err != nil {
			t.Fatal(err)
		}
		for n := range peers {
			if at.Equal(right) && s.Stats().Known < peers {
				s.Add(storetest.Address(n, 26656), storetest.Told(n), at)
			}
		}
		if due, ok := s.NextDue(at); ok && due.After(at.Add(peerstore.LongestQuarantine)) {
			t.Errorf("opened at %v: somebody waits until %v", at, due)
		}
		if _, ok := s.Next(at.Add(peerstore.LongestQuarantine), peerstore.Query{}); !ok {
			t.Errorf("opened at %v: nobody is due", at)
		}
		for n := range peers {
			s.Update(storetest.ID(n), func(r *peerstore.Record) {
				r.NotBefore, r.Addresses[0].NotBefore = at.Add(time.Minute), at.Add(time.Minute)
				r.Quarantined = at.Add(time.Hour)
			})
		}
		if s.Stats().Known != peers {
			t.Errorf("opened at %v: %+v", at, s.Stats())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
