package badger

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
)

// missing is what was persisted once and is not there.
type missing struct {
	peers, bans int64
	pages       int64 // whatever they held
	batches     int64 // the last batches that were written; they may have held any changes
}

func (m missing) any() bool { return m.peers > 0 || m.bans > 0 || m.pages > 0 || m.batches > 0 }

func (m missing) attrs() []any {
	return []any{slog.Int64("missing_peers", m.peers), slog.Int64("missing_bans", m.bans), slog.Int64("missing_pages", m.pages), slog.Int64("missing_batches", m.batches)}
}

// missing compares what was met with the database's own totals and with those of its head (nil: unknown). When nothing was written for longer than grace, the
// database has let go by itself of bans that have ended, and up to schema 2 of peers that have expired, and there is nothing to compare.
func (l *loader) missing(head *switchyardpb.StoreTotals) (m missing) {
	m.pages = l.gap()
	totals := l.totals
	if head != nil && head.Sequence > totals.GetSequence() {
		m.batches = int64(head.Sequence - totals.GetSequence())
		totals = head
	}
	if totals == nil {
		return m
	}
	unused := l.totals.GetWritten() != 0 && l.now.Sub(unstamp(l.totals.Written)) >= grace
	if !unused || totals.Page > 0 {
		m.peers = max(int64(totals.Peers)-int64(l.peers), 0)
	}
	if !unused && !l.trusts { // else the second copy has all
		m.bans = max(int64(totals.Bans)-int64(l.bans), 0)
	}
	return m
}

func (l *loaded) attrs(path string) []any {
	return []any{
		slog.Int("unreadable_pages", l.badPages), slog.Int("unreadable_peers", l.badPeers), slog.Int("unreadable_bans", l.badBans),
		slog.Int("unreadable_values", l.badMeta), slog.Int("unreadable_addresses", l.badAddresses),
		slog.Int("read_peers", l.peers-l.badPeers), slog.Int("read_bans", l.bans-l.badBans),
		slog.Int("restored_bans", l.restoredBans), slog.Int("restored_values", l.restoredMeta), slog.Int("restored_peers", l.restoredPeers),
		slog.String("path", path),
	}
}

// rebuild reads what is left of a damaged store, sets the store aside under another name, and begins a new one with it.
func (s *Store) rebuild(damaged *survey, before *switchyardpb.StoreTotals, copy *copied) error {
	if before == nil {
		before = s.head.read()
	}
	if s.db != nil {
		_ = s.db.Close() // it may be unable to; what matters is read from the files
		s.db = nil
	}
	if err := s.mayWrite(); err != nil {
		return err
	}
	l := s.newBook(copy, before)
	if err := l.files(s.path); err != nil {
		return err
	}
	if l.version > schemaVersion {
		return fmt.Errorf("%w (its schema is %d, this program knows %d)", ErrNewer, l.version, schemaVersion)
	}

	l.merge(true)

	aside, err := s.setAside()
	if err != nil {
		return fmt.Errorf("it is damaged (%w), and cannot be set aside: %w", damaged.damage[0], err)
	}
	attrs := append(l.missing(before).attrs(), l.attrs(s.path)...)
	attrs = append(attrs, slog.String("set_aside", aside), slog.Int("damages", len(damaged.damage)), slog.Any("first_damage", damaged.damage[0]))
	s.opts.Logger.Error("The peer store was damaged; it was set aside, and a new one has what could be read", attrs...)

	if err := s.enter(); err != nil {
		return err
	}
	if err := s.openDatabase(0); err != nil {
		return err
	}
	l.drop, l.lacks, l.version, l.moved, l.metPages = nil, nil, 0, true, metPages{}
	s.Rewrite(true)
	if err := s.begin(l, before, true); err != nil { // this writes the bans, too
		return err
	}
	if _, err := s.writeChanges(allPeers); err != nil {
		return err
	}
	return s.db.Sync()
}

// probe begins the name of mayWrite's file.
const probe = "probe-"

// mayWrite says why no new store could be written here: then the old one is left as it is, whatever the database says of it. It does not always tell us what the machine has
// told it.
func (s *Store) mayWrite() (err error) {
	f, err := os.CreateTemp(s.path, probe)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	if err := f.Truncate(2 * memTable); err != nil { // as large as its log
		return err
	}
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		return err
	}
	return f.Sync()
}

// setAside moves the store to a free name beside it, or below it where that cannot be.
func (s *Store) setAside() (string, error) {
	defer func() { _ = s.release() }() // once it is moved, nobody else can take it for a whole one
	stamp := time.Now().UTC().Format("20060102T150405")
	for n := 0; ; n++ {
		name := s.path + ".corrupt-" + stamp
		if n > 0 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		if err := os.Rename(s.path, name); err != nil {
			return s.setAsideWithin(stamp)
		}
		return name, nil
	}
}

// setAsideWithin moves the files of a store whose folder cannot be moved (a mount point, a read-only parent) to a folder in it.
func (s *Store) setAsideWithin(stamp string) (string, error) {
	within, err := os.MkdirTemp(s.path, "corrupt-"+stamp+"-")
	if err != nil {
		return "", err
	}
	files, err := os.ReadDir(s.path)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		if err := os.Rename(filepath.Join(s.path, f.Name()), filepath.Join(within, f.Name())); err != nil {
			return "", err
		}
	}
	return within, nil
}

// orphanFolder keeps what the database removes when it opens, until it is clear that nothing is missing: tables that the manifest does not name, which is right unless the
// manifest has lost its end; and the ends of logs that no batch ends, which is right unless the mark of its end was lost.
const orphanFolder = "orphans"

func (s *Store) keepOrphans(found *survey) error {
	if len(found.orphans)+len(found.torn) == 0 {
		return nil
	}
	dir := filepath.Join(s.path, orphanFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range found.orphans {
		if err := os.Link(filepath.Join(s.path, name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			s.opts.Logger.Debug("Keeping a table of the peer store", "err", err) // no links here; it was a precaution
		}
	}
	for _, name := range found.torn {
		data, err := os.ReadFile(filepath.Join(s.path, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), bytes.TrimRight(data, "\x00"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// keptOrphans says that there are any, maybe of a start that was killed.
func (s *Store) keptOrphans() bool {
	files, _ := os.ReadDir(filepath.Join(s.path, orphanFolder))
	return len(files) > 0
}

func (s *Store) dropOrphans() { _ = os.RemoveAll(filepath.Join(s.path, orphanFolder)) }

// files reads all tables and logs in dir, and adds of each key what was written last.
func (l *loader) files(dir string) error {
	latest := make(map[string]found)
	keep := func(f found) {
		if old, ok := latest[string(f.key)]; !ok || f.version >= old.version {
			f.value = append([]byte(nil), f.value...)
			latest[string(f.key)] = f
		}
	}
	for _, dir := range []string{dir, filepath.Join(dir, orphanFolder)} {
		files, err := os.ReadDir(dir)
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			return err
		}
		for _, f := range files {
			switch filepath.Ext(f.Name()) {
			case ".sst":
				_ = readFile(dir, f.Name(), readTable, keep) // the damage is known
			case ".mem":
				_ = readFile(dir, f.Name(), readLog, keep)
			}
		}
	}
	var totals *switchyardpb.StoreTotals
	if f, ok := latest[string([]byte{totalsKey})]; ok && !f.deleted {
		totals = readTotals(f.value)
	}
	l.consult(totals)
	l.bounds(totals)
	l.restorer = l.book.Restorer(l.now)
	defer l.restorer.End()
	w := worker{loader: l}
	defer w.end()
	add := func(small bool) {
		for key, f := range latest {
			if !f.deleted && (key[0] == metaKey) == small && (key[0] != peerKey || l.first == 0) {
				w.add([]byte(key), f.value)
			}
		}
	}
	add(true) // the key that places peers is a small value
	w.pagesOf(latest)
	add(false)
	return nil
}
