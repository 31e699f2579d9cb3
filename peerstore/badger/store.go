// Package badger is a peer store on disk: the book in memory, with one owner on disk for each fact.
//
// A store is a folder:
//
//	OWNER          the file that a process locks while it has the store open
//	keep.log       bans, operator flags (trusted, unconditional, private) and small values: see keepLog
//	keep.log.old   its previous generation
//	db/            a Badger database with the learned peers, one key a peer
//	00001.mem      makes programs refuse the store that knew only schemas 1 to 3: see convert
//
// What it promises:
//
//   - A ban or a changed flag is on disk when the call returns. A small value is in the log when SetMeta returns, so a
//     killed process loses none; the disk has it with the next batch, for the end of the machine.
//   - A changed peer is in the database after Options.Interval (100 ms) while Run runs. A kill loses no more than that.
//   - Flush returns when the disk has everything.
//   - A damaged database is set aside under another name, and the store starts without the learned peers, but with all
//     bans, flags and values. Of a damaged keep log the good lines count, over those of the previous generation. The
//     logger is told of both. Open fails only for reasons that an operator has to see to.
//
// Two processes cannot open a store at the same time.
package badger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	bdb "github.com/dgraph-io/badger/v4"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/internal/book"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Store is a peerstore.Store in a folder. Open makes one. The book does what Store does not do itself.
type Store struct {
	*book.Book
	path    string
	opts    Options
	lock    *os.File
	keep    *keepLog
	changed <-chan struct{} // receives when the book has changes to write
	lagging chan struct{}   // receives when the disk lacks something of the keep log

	// writing holds a token while peers are written, so that no older record overwrites a newer one. It guards:
	writing chan struct{}
	db      *bdb.DB
	changes book.Changes
	dirty   bool // the disk may lack something of the database
	closed  bool

	closeOnce sync.Once
	closeErr  error
}

var _ peerstore.Store = (*Store)(nil)

// Open opens the store in the folder path and loads it; it makes the folder if there is none. Its error is a
// *StoreError about something an operator can mend: ErrInUse, ErrNotFolder, ErrNewer, ErrDiskFull, or an error of the
// file system (fs.ErrPermission, ...). Damage is no error.
//
// The store starts no goroutine before Run; the database has its own until Close.
func Open(path string, opts Options) (*Store, error) {
	s := &Store{
		path:    filepath.Clean(path),
		opts:    opts.withDefaults(),
		lagging: make(chan struct{}, 1),
		writing: make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		_ = s.release()
		return nil, &StoreError{"open", s.path, err}
	}
	return s, nil
}

// Update implements peerstore.Store. A changed flag is on disk when Update returns, or the logger is told why not.
func (s *Store) Update(id transport.NodeID, fn func(*peerstore.Record)) bool {
	changed := false
	known := s.Book.Update(id, watchFlags(fn, &changed))
	if changed {
		_, err := s.keepFlags(id) // whatever becomes of the database
		s.cannotKeep(errors.Join(err, s.persist(context.Background(), kept)))
	}
	return known
}

// Ensure implements peerstore.Store. A killed process does not lose a changed flag; the disk has it soon.
func (s *Store) Ensure(id transport.NodeID, now time.Time, fn func(*peerstore.Record)) {
	changed := false
	s.Book.Ensure(id, now, watchFlags(fn, &changed))
	if changed {
		s.cannotKeep(s.persist(context.Background(), written))
		s.syncLater()
	}
}

// watchFlags returns fn and notes whether it changes the flags of the peer.
func watchFlags(fn func(*peerstore.Record), changed *bool) func(*peerstore.Record) {
	return func(r *peerstore.Record) {
		was := flagsOf(r)
		fn(r)
		*changed = flagsOf(r) != was
	}
}

// keepFlags appends the flags that peers have now to the keep log, where they differ from those in it.
func (s *Store) keepFlags(ids ...transport.NodeID) (*os.File, error) {
	return s.keep.update(func() (lines []byte) {
		for _, id := range ids {
			r, _ := s.Get(id)
			if l := (line{op: opFlags, id: id, flags: flagsOf(&r)}); s.keep.changes(&l) {
				lines = appendLine(lines, &l)
			}
		}
		return lines
	})
}

// Ban implements peerstore.Store.
func (s *Store) Ban(ban peerstore.Ban) (err error) {
	if ban.Target, err = ban.Target.Normal(); err != nil {
		return err
	}
	return s.keepBan("ban", line{op: opBan, ban: ban}, func() (bool, error) {
		err := s.Book.Ban(ban)
		return err == nil, err
	})
}

// Unban implements peerstore.Store.
func (s *Store) Unban(t peerstore.Target) (was bool, err error) {
	if t, err = t.Normal(); err != nil {
		return false, err
	}
	err = s.keepBan("unban", line{op: opUnban, ban: peerstore.Ban{Target: t}}, func() (bool, error) {
		was, err = s.Book.Unban(t)
		return was, err
	})
	return was, err
}

// keepBan runs do, which changes the bans of the book, and returns when the disk has the line that says so.
func (s *Store) keepBan(op string, l line, do func() (done bool, refused error)) (refused error) {
	file, err := s.keep.update(func() (lines []byte) {
		var done bool
		if done, refused = do(); done {
			lines = appendLine(nil, &l)
		}
		return lines
	})
	if refused != nil {
		return refused
	}
	if err == nil {
		err = s.keep.sync(file)
	}
	if s.SetFailing(err); err != nil {
		s.syncLater()
		return &StoreError{op, s.path, err}
	}
	return nil
}

// SetMeta implements peerstore.Store. It does not wait for the disk.
func (s *Store) SetMeta(key string, value []byte) {
	if key == bucketKey {
		return
	}
	_, err := s.keep.update(func() (lines []byte) {
		s.Book.SetMeta(key, value)
		l := line{op: opValue, key: key, value: s.Meta(key)}
		if l.value == nil {
			l.op = opUnset
		}
		if s.keep.changes(&l) {
			lines = appendLine(nil, &l)
		}
		return lines
	})
	s.cannotKeep(err)
	s.syncLater()
}

// cannotKeep tells the logger of an error that the caller is not told.
func (s *Store) cannotKeep(err error) {
	if err != nil && !errors.Is(err, peerstore.ErrClosed) {
		s.SetFailing(err)
		s.syncLater()
		s.opts.Logger.Error("The peer store cannot write to its keep log; it tries again", "path", s.path, "err", err)
	}
}

// syncLater makes Run write, or write anew, what the disk does not have of the keep log.
func (s *Store) syncLater() {
	select {
	case s.lagging <- struct{}{}:
	default:
	}
}

// Flush implements peerstore.Store.
func (s *Store) Flush(ctx context.Context) error {
	if err := s.persist(ctx, synced); err != nil {
		return &StoreError{"flush", s.path, err}
	}
	return nil
}

// Run implements peerstore.Store. Its error is that of the last flush. Call it once.
func (s *Store) Run(ctx context.Context) error {
	s.writeBehind(ctx)
	return s.Flush(context.WithoutCancel(ctx))
}

// writeBehind writes changes until ctx ends, once in Options.Interval at most, and once a second while writing fails.
func (s *Store) writeBehind(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-s.lagging:
		}
		wait := s.opts.Interval
		if failing {
			wait = max(wait, time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := s.persist(ctx, kept)
		if s.SetFailing(err); err != nil {
			s.syncLater()
		}
		if (err != nil) != failing && ctx.Err() == nil {
			failing = err != nil
			s.opts.Logger.Warn("The peer store keeps changes in memory while it cannot write", "path", s.path,
				"can_write", !failing, "err", err)
		}
	}
}

// Close implements peerstore.Store. Further calls return what the first did.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		err := s.persist(context.Background(), synced)
		s.writing <- struct{}{}
		defer func() { <-s.writing }()
		s.closed = true
		if err = errors.Join(err, s.release()); err != nil {
			s.closeErr = &StoreError{"close", s.path, err}
		}
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
	if s.keep != nil {
		errs = append(errs, s.keep.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}
