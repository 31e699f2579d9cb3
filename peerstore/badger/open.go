package badger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// open makes the folder usable, loads what is there, and mends what has to be mended.
func (s *Store) open() (err error) {
	defer func() {
		if err != nil {
			_ = s.release()
		}
	}()
	if err := s.enter(); err != nil {
		return err
	}
	copy, err := readCopy(s.path)
	if err != nil {
		return err
	}
	found, err := surveyFolder(s.path, s.opts.little)
	if err != nil {
		return err
	}
	if len(found.damage) > 0 {
		return s.rebuild(found, nil, copy)
	}
	return s.load(found, copy)
}

// enter makes the folder, and takes its lock.
func (s *Store) enter() error {
	if err := os.MkdirAll(s.path, 0o700); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			if e := (*fs.PathError)(nil); errors.As(err, &e) && e.Path != s.path {
				return fmt.Errorf("%s %w", e.Path, ErrNotFolder)
			}
			return ErrNotFolder
		}
		return err
	}
	if err := s.clearWay(); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(s.path, ownerName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.lock = lock
	if err := lockFile(lock); err != nil {
		return err
	}
	if free := freeSpace(s.path); free < s.opts.MinFree {
		return diskFull(free, s.opts.MinFree)
	}
	s.head, err = openHead(s.path)
	return err
}

// ownerName is the file that is locked by whoever has the store open.
const ownerName = "OWNER"

// clearWay gives another name to what stands where the store has a file and is none: a folder, a link, a pipe that would be waited for. It counts as a file that is gone.
func (s *Store) clearWay() error {
	files, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := f.Name()
		switch filepath.Ext(name) {
		case ".sst", ".mem", ".vlog":
		default:
			if !slices.Contains([]string{ownerName, headName, secondName, secondNew, bdb.ManifestFilename, discardName, bdb.KeyRegistryFileName}, name) {
				continue
			}
		}
		if f.Type().IsRegular() {
			continue
		}
		other := fmt.Sprintf("%s.no-file-%d", name, time.Now().UnixNano())
		if err := os.Rename(filepath.Join(s.path, name), filepath.Join(s.path, other)); err != nil {
			return err
		}
		s.opts.Logger.Warn("What stood in the place of a file of the peer store is none, and has another name now", "path", filepath.Join(s.path, name), "type", f.Type().String(), "now", other)
	}
	return nil
}

func diskFull(free, need uint64) error {
	return fmt.Errorf("%w: %d MiB free, %d MiB needed", ErrDiskFull, free>>20, need>>20)
}

// newBook starts an empty book.
func (s *Store) newBook(copy *copied, head *switchyardpb.StoreTotals) *loader {
	s.Book = peerstore.NewBook(s.opts.Limits, s.opts.Seed)
	s.Track()
	return &loader{book: s.Book, now: s.opts.now(), copy: copy, head: head}
}

// load opens a database whose files are in order, and loads it.
func (s *Store) load(found *survey, copy *copied) error {
	before := s.head.read()
	if err := s.keepOrphans(found); err != nil {
		return err
	}
	l, err := s.openAndLoad(found, copy, before)
	if err != nil {
		if ours(err) {
			return err
		}
		found.damage = append(found.damage, err)
		return s.rebuild(found, before, copy)
	}
	if (l.missing(nil).any() || l.missing(before).batches > 0) && s.keptOrphans() {
		found.damage = append(found.damage, fmt.Errorf("the database left out %d tables and %d ends of logs that held something", len(found.orphans), len(found.torn)))
		return s.rebuild(found, before, copy)
	}
	s.dropOrphans()
	missing := l.missing(before)
	lost := missing.any() || l.unreadable()+l.badAddresses > 0
	l.merge(lost)
	if lost {
		s.opts.Logger.Error("The peer store had lost something; the rest is in use", append(missing.attrs(), l.attrs(s.path)...)...)
	}
	if why := l.copyDamage(); why != nil {
		s.opts.Logger.Warn("The second copy of the peer store's bans was damaged; it is written anew from the first", "path", filepath.Join(s.path, secondName), "damage", why)
	}
	if before == nil && l.totals.GetSequence() > 1 {
		s.opts.Logger.Warn("The peer store's file "+headName+" was damaged; whether the store has lost its last changes cannot be told", "path", s.path)
	}
	if err := s.begin(l, before, lost); err != nil {
		return err
	}
	return s.tidy(l, lost)
}

// openAndLoad opens the database and loads what is in it. A small store is loaded from what was read of its files in the meantime: to create its files and to wait for the disk takes
// the database longer.
func (s *Store) openAndLoad(found *survey, copy *copied, before *switchyardpb.StoreTotals) (*loader, error) {
	var early *loader
	var loading errgroup.Group
	if found.entries != nil {
		early = s.newBook(copy, before)
		loading.Go(func() error { return early.load(found.entries) })
	}
	errOpen, err := s.openDatabase(found.longest), loading.Wait()
	if errOpen != nil {
		return nil, errOpen
	}
	s.dirty = len(found.logs) > 0                                   // of a program that was killed
	if early != nil && (err != nil || found.version == s.version) { // else the database knows less, or more, than was read
		return early, err
	}
	l := s.newBook(copy, before)
	return l, l.load(database{s.db})
}

// tidy writes all peers anew if the store is one of an earlier schema, if something of it is lost, or if there are by far too many records.
func (s *Store) tidy(l *loader, lost bool) error {
	if lost || l.ownKeys && s.first == 0 || s.records > cleanMost*s.stored+s.opts.floor {
		if err := s.renew(); err != nil {
			return err
		}
		s.batch = batch{}
	}
	if l.ownKeys { // they are in pages now
		return s.db.DropPrefix([]byte{peerKey})
	}
	return nil
}

// ours says that an error is to be told, not to be mended: what the machine does not let us do now is no damage.
func ours(err error) bool {
	if errors.Is(err, ErrNewer) || errors.Is(err, ErrInUse) || errors.Is(err, fs.ErrPermission) {
		return true
	}
	var errno syscall.Errno
	return errors.As(err, &errno) && slices.Contains(refusals, errno)
}

var refusals = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EBUSY, syscall.ENOLCK,
}

// openDatabase opens the database after removing those of its files that hold nothing, so that they cannot be damaged either. Two it is left that are as it makes them: to make
// them it waits for the disk. The longest of the logs has so many bytes.
func (s *Store) openDatabase(longest int) (err error) {
	files, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, f := range files {
		name, drop := f.Name(), false
		switch filepath.Ext(name) {
		case ".vlog": // values lie in the tables: databaseOptions
			drop = true
		case ".mem": // made, but killed before it was written to
			info, err := f.Info()
			drop = err == nil && info.Size() == 0
		case "":
			switch name {
			case discardName: // statistics of the value log: there are none, and this is where the first one would be
				drop = !holdsAt(filepath.Join(s.path, name), discardSize, 0, make([]byte, 16))
			case bdb.KeyRegistryFileName: // the list of encryption keys, of which there are none: something random, and this text
				drop = !holdsAt(filepath.Join(s.path, name), int64(16+len(noKeys)), 16, []byte(noKeys))
			default: // what mayWrite left when it was killed
				drop = strings.HasPrefix(name, probe)
			}
		default: // what second.rewrite left when it was killed
			drop = name == secondNew
		}
		if drop {
			if err := os.Remove(filepath.Join(s.path, name)); err != nil {
				return err
			}
		}
	}
	defer func() { // the last resort: the files have been checked
		if p := recover(); p != nil {
			err = fmt.Errorf("the database panicked: %.200v", p)
		}
	}()
	s.db, err = bdb.OpenManaged(databaseOptions(s.path, s.opts.memTableFor(longest), s.opts.Logger))
	if err != nil {
		s.db = nil
		return err
	}
	s.version = s.db.MaxVersion()
	return nil
}

const (
	discardName = "DISCARD"
	discardSize = 1 << 20
	noKeys      = "Hello Badger"
)

// holdsAt says that a file has a size, and something at a place.
func holdsAt(path string, size, at int64, what []byte) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != size {
		return false
	}
	got := make([]byte, len(what))
	_, err = f.ReadAt(got, at)
	return err == nil && bytes.Equal(got, what)
}

// beginSecond makes the second copy go on where it ended, or has it written anew with the first batch.
func (s *Store) beginSecond(l *loader) error {
	_ = s.second.close()
	s.second = newSecond(s.path)
	for key, value := range l.small {
		s.second.small[key] = value
		if key[0] == peerKey {
			s.second.flags[key] = l.flags[key]
		}
	}
	if l.trusts && !l.moved && l.copy.holds(l.small) {
		return s.second.open(l.copy.number, l.copy.size)
	}
	s.second.number = l.totals.GetCopied()
	if l.copy != nil {
		s.second.number = max(s.second.number, l.copy.number)
	}
	return nil
}

// eachBan calls fn with all bans, as the database keeps them.
func (s *Store) eachBan(fn func(key, value []byte)) error {
	for _, b := range s.Bans(time.Now()) {
		value, err := encodeBan(&b)
		if err != nil {
			return err
		}
		fn(nameKey(banKey, b.Target.String()), value)
	}
	return nil
}

// agree says that the database's totals and those of its head are of the same batch; of an unknown one when they are nil.
func agree(a, b *switchyardpb.StoreTotals) bool {
	return a != nil && b != nil && a.Sequence == b.Sequence && a.Peers == b.Peers && a.Bans == b.Bans && a.Page == b.Page
}

// begin writes what makes a loaded store a current one, if it is not.
func (s *Store) begin(l *loader, before *switchyardpb.StoreTotals, lost bool) error {
	s.sequence, s.stored = max(l.totals.GetSequence(), before.GetSequence()), int(l.totals.GetPeers())
	s.page, s.first, s.oldest, s.records, s.pass = l.last, l.first, max(l.first, 1), l.records, pass{}
	if s.page == math.MaxUint64 { // nobody knows
		s.page = l.highest
	}
	if l.oldest > 0 {
		s.oldest = l.oldest
	}
	if err := s.beginSecond(l); err != nil {
		return err
	}
	for _, key := range l.drop {
		s.batch.del(key)
	}
	w := writer{now: l.now}
	for key, b := range l.lacks {
		s.batch.put([]byte(key), b.value, w.until(b.end))
	}
	if l.version != schemaVersion {
		s.batch.put([]byte{versionKey}, []byte{schemaVersion}, 0)
	}
	t := l.totals
	current := !lost && len(s.batch.items)+len(s.batch.gone) == 0 && s.second.file != nil && s.second.number == t.GetCopied() &&
		agree(t, before) && uint64(l.peers) == t.Peers && uint64(l.bans) == t.Bans
	_, _, err := s.writeBatch(0, !current)
	return err
}
