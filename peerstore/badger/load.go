package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	bdb "github.com/dgraph-io/badger/v4"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/internal/book"
	"github.com/switchyard-p2p/switchyard/transport"
)

// bucketKey names the value in the keep log that holds the secret that places peers in buckets.
const bucketKey = "peerstore/key"

// loadKept makes the book, puts bans and values into it, and goes on with the keep log.
func (s *Store) loadKept(now time.Time) error {
	current, previous, err := s.readKeepLog()
	if err != nil {
		return err
	}
	s.Book = book.New(s.opts.Limits, s.opts.Seed)
	s.changed = s.TrackChanges()
	s.keep = &keepLog{
		dir:      s.path,
		snapshot: s.keepSnapshot,
		free:     func() error { return checkFree(s.path, s.opts.MinFree) },
		flags:    make(map[transport.NodeID]flags),
		values:   make(map[string][]byte),
	}
	for _, g := range []*generation{previous, current} {
		for i := range g.lines {
			s.replay(&g.lines[i], now)
		}
	}
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	key := s.BucketKey()
	fresh := s.keep.changes(&line{op: opValue, key: bucketKey, value: key[:]})
	if fresh || current.damage != nil {
		return s.keep.rewrite()
	}
	return s.keep.resume(current)
}

// readKeepLog reads the current generation of the keep log and, if its beginning is damaged, the previous one. It tells
// the logger of damage.
func (s *Store) readKeepLog() (current, previous *generation, err error) {
	previous = &generation{}
	if current, err = readGeneration(s.file(keepName)); err != nil {
		return nil, nil, err
	}
	if current.damage == nil {
		if current.torn {
			s.opts.Logger.Info("The peer store's keep log ends within a line, which does not count",
				"path", s.file(keepName))
		}
		return current, previous, nil
	}
	if current.begin == 0 { // else it says all of the previous one that still holds
		if previous, err = readGeneration(s.file(keepOld)); err != nil {
			return nil, nil, err
		}
	}
	_, err = os.Lstat(s.file(databaseName))
	missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	if isNew := missing(current.damage) && missing(previous.damage) && missing(err); !isNew {
		s.opts.Logger.Error("The peer store's keep log is damaged: bans, flags and values that only damaged lines "+
			"held are lost. Its good lines count, and if its beginning is damaged those of its previous generation",
			"path", s.file(keepName),
			"damage", current.damage, "damaged_lines", current.bad, "good_lines", len(current.lines),
			"previous_lines", len(previous.lines), "previous_damage", fmt.Sprint(previous.damage))
	}
	return current, previous, nil
}

// replay does again what a line of the keep log says.
func (s *Store) replay(l *line, now time.Time) {
	switch l.op {
	case opBan:
		if !s.RestoreBan(l.ban, now) { // it has ended, and so has the one in whose place it came
			_, _ = s.Book.Unban(l.ban.Target)
		}
	case opUnban:
		_, _ = s.Book.Unban(l.ban.Target)
	case opFlags:
		s.keep.changes(l)
	case opValue, opUnset:
		if l.key != bucketKey {
			s.Book.SetMeta(l.key, l.value)
		} else if len(l.value) == len(s.BucketKey()) {
			s.SetBucketKey([16]byte(l.value))
		}
		s.keep.changes(l)
	}
}

// keepSnapshot is all that the keep log has to hold.
func (s *Store) keepSnapshot() ([]byte, int) {
	return snapshot(s.keep.values, s.keep.flags, s.Bans(s.opts.now()))
}

// snapshot makes the lines of a beginning, and counts them.
func snapshot(
	values map[string][]byte, flags map[transport.NodeID]flags, bans []peerstore.Ban,
) (lines []byte, count int) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		lines = appendLine(lines, &line{op: opValue, key: key, value: values[key]})
	}
	for _, id := range slices.Sorted(maps.Keys(flags)) {
		lines = appendLine(lines, &line{op: opFlags, id: id, flags: flags[id]})
	}
	for _, ban := range bans {
		lines = appendLine(lines, &line{op: opBan, ban: ban})
	}
	return lines, len(values) + len(flags) + len(bans)
}

// loadPeers restores the peers of the database with the flags of the keep log. Peers with flags whose records are lost
// are known again without an address.
func (s *Store) loadPeers(now time.Time) error {
	unreadable := 0
	flagged := maps.Clone(s.keep.flags)
	to := s.db.NewWriteBatch()
	defer to.Cancel()
	restore := func(key, value []byte) error {
		r, bad, err := decodePeer(key[1:], value)
		if err != nil {
			unreadable++
			return to.Delete(slices.Clone(key))
		}
		if unreadable += bad; bad > 0 {
			if value, err = encodePeer(&r); err == nil {
				err = to.Set(slices.Clone(key), value)
			}
			if err != nil {
				return err
			}
		}
		flagged[r.ID].set(&r)
		delete(flagged, r.ID)
		s.Restore(r, now) // one that it refuses is listed as removed
		return nil
	}
	if err := s.db.View(func(txn *bdb.Txn) error { return each(txn, peerKey, false, restore) }); err != nil {
		return err
	}
	if err := to.Flush(); err != nil {
		return err
	}
	for id, f := range flagged {
		r := peerstore.Record{ID: id, FirstSeen: now}
		f.set(&r)
		s.Restore(r, now)
	}
	if unreadable > 0 {
		s.opts.Logger.Error("The peer store cannot read some peers or addresses, and leaves them out", "path", s.path,
			"unreadable", unreadable, "peers", s.Stats().Known)
	}
	return nil
}

// each calls fn with all keys that begin with a letter, and their values; backwards from the last if so asked. fn must
// not keep either.
func each(txn *bdb.Txn, letter byte, backwards bool, fn func(key, value []byte) error) error {
	opts := bdb.DefaultIteratorOptions
	opts.PrefetchValues = false // values lie beside the keys
	opts.Reverse = backwards
	it := txn.NewIterator(opts)
	defer it.Close()
	from := []byte{letter}
	if backwards {
		from = []byte{letter, 0xff, 0xff, 0xff}
	}
	for it.Seek(from); it.ValidForPrefix([]byte{letter}); it.Next() {
		key := it.Item().Key()
		if err := it.Item().Value(func(value []byte) error { return fn(key, value) }); err != nil {
			return fmt.Errorf("read %.16x: %w", key, err)
		}
	}
	return nil
}
