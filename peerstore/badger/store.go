// Package badger is a peer store that persists: the book in memory, written behind to a Badger database.
//
// What happens to it:
//
//   - Every change is in memory at once, and on disk after at most Options.Interval (100 ms) while Run runs. A kill of the process loses
//     no more than that. Bans and the flags that the operator sets (trusted, unconditional, private) are on disk before the call returns.
//   - Flush and Ban also wait until the disk has it, so they outlast the end of the machine.
//   - A store that is damaged is set aside under another name (PATH.corrupt-TIME), with what is left of it read into a new one. The log
//     says what was lost. Open fails only for reasons that an operator has to see to.
//   - Bans, small values (anchors, keys) and the peers with one of the operator's flags are in a second file as well, COPY: removing or damaging any one file loses
//     none of them, and brings no ban back that was lifted. Of the other peers a damaged file loses those that are in its damaged part, with the up to some
//     hundred that were written with them; of some of these an earlier state may come back.
//   - The folder takes up to five times what the peers need (about 100 bytes each) and, while a great deal is written, up to 100 MB more.
//
// The folder belongs to the store. Two processes cannot open it at the same time.
package badger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Store is a peerstore.Store in a folder. Open makes one. What it does not do itself, the book in memory does.
type Store struct {
	*peerstore.Book
	path string
	opts Options

	// writing is held (by a token in it) while changes are written: an older value never overwrites a newer one. It guards what follows.
	writing  chan struct{}
	db       *bdb.DB
	head     *head
	second   second
	lock     *os.File
	batch    batch
	sequence uint64 // of the last batch written
	version  uint64 // of the database's entries in that batch, or in one that failed
	page     uint64 // the last page written
	first    uint64 // the first one that counts; 0: all do, and peers under keys of their own
	oldest   uint64 // the first one that may be in the database
	records  int    // in the pages that count
	stored   int    // peers
	pass     pass
	dirty    bool // the disk may not have all that the database has
	closed   bool

	closeOnce sync.Once
	closeErr  error
}

var _ peerstore.Store = (*Store)(nil)

// Open opens the store in the folder path, makes it if there is none, and loads all of it. Its error is a *StoreError, which tells what the operator
// can mend: ErrInUse, ErrNotFolder, ErrNewer, ErrDiskFull, and errors of the file system (fs.ErrPermission, ...). Damage is no error.
//
// No goroutine of the store's own runs before Run; the database has its own until Close.
func Open(path string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	s := &Store{path: filepath.Clean(path), opts: opts, writing: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		return nil, &StoreError{"open", s.path, err}
	}
	return s, nil
}

// Update is peerstore.Store's. If a flag changed that must not be lost, it is on disk before Update returns, or the log says why not.
func (s *Store) Update(id transport.NodeID, fn func(*peerstore.Record)) bool {
	known, flags := s.Change(id, fn)
	if flags {
		s.writeNow()
	}
	return known
}

// Ensure is peerstore.Store's. If a flag changed that must not be lost, it is on disk before Ensure returns, or the log says why not.
func (s *Store) Ensure(id transport.NodeID, now time.Time, fn func(*peerstore.Record)) {
	if s.EnsureChange(id, now, fn) {
		s.writeNow()
	}
}

// Ban is peerstore.Store's: the ban is on disk when it returns nil.
func (s *Store) Ban(ban peerstore.Ban) error {
	if err := s.Book.Ban(ban); err != nil {
		return err
	}
	return s.persist(context.Background(), "ban", 0, true)
}

// Unban is peerstore.Store's: the ban is gone from the disk when it returns no error.
func (s *Store) Unban(t peerstore.Target) (bool, error) {
	was, err := s.Book.Unban(t)
	if err != nil || !was {
		return was, err
	}
	return was, s.persist(context.Background(), "unban", 0, true)
}

// Flush writes what changed before the call, and waits until the disk has it.
func (s *Store) Flush(ctx context.Context) error { return s.persist(ctx, "flush", allPeers, true) }

// writeNow writes what changed before the call, so that a kill of the process does not lose it.
func (s *Store) writeNow() {
	if err := s.persist(context.Background(), "write", allPeers, false); err != nil && !errors.Is(err, peerstore.ErrClosed) {
		s.opts.Logger.Error("A change of a peer's flags could not be persisted; it will be tried again", "err", err)
	}
}

// Run writes behind until ctx ends, then flushes. Its error is that of the last flush. Call it once.
func (s *Store) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { s.writeBehind(ctx); return nil })
	g.Go(func() error { s.collectGarbage(ctx); return nil })
	_ = g.Wait()
	return s.Flush(context.WithoutCancel(ctx))
}

func (s *Store) writeBehind(ctx context.Context) {
	some, many := s.Changed()
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-some:
		}
		wait := s.opts.Interval
		if failing {
			wait = max(wait, time.Second)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-unless(failing, many):
		}
		err := s.persist(ctx, "write", allPeers, false)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				s.opts.Logger.Error("Peers cannot be persisted; they are kept in memory and tried again each second", "err", err)
			} else {
				s.opts.Logger.Info("Peers are persisted again", "path", s.path)
			}
		}
	}
}

// unless is c, or nil (which never delivers).
func unless(no bool, c <-chan struct{}) <-chan struct{} {
	if no {
		return nil
	}
	return c
}

// collectGarbage cleans the value log. All values lie in the tree, so there is next to nothing to do; but a store that wrote larger values once
// would otherwise never shrink.
func (s *Store) collectGarbage(ctx context.Context) {
	tick := time.NewTicker(s.opts.GCInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ctx.Err() == nil && s.db.RunValueLogGC(0.5) == nil {
		}
	}
}

// Close flushes and releases the files. Further calls return what the first did.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		err := s.persist(context.Background(), "close", allPeers, true)
		s.writing <- struct{}{}
		defer func() { <-s.writing }()
		s.closed = true
		if e := s.release(); err == nil && e != nil {
			err = &StoreError{"close", s.path, e}
		}
		s.closeErr = err
	})
	return s.closeErr
}

// release closes what is open.
func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
		s.db = nil
	}
	if s.head != nil {
		errs = append(errs, s.head.close())
		s.head = nil
	}
	errs = append(errs, s.second.close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}
