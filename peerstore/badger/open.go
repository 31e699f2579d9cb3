package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
)

const (
	ownerName    = "OWNER" // the file that is locked while the store is open
	databaseName = "db"    // the folder of the database
)

func (s *Store) file(name string) string { return filepath.Join(s.path, name) }

// open makes the folder usable, converts an earlier schema, and loads everything. The keep log is there before the
// database, so a database without one shows that it is lost.
func (s *Store) open() error {
	if err := s.enter(); err != nil {
		return err
	}
	if err := s.convert(); err != nil {
		return err
	}
	now := s.opts.now()
	if err := s.loadKept(now); err != nil {
		return err
	}
	if err := s.openDatabase(); err != nil {
		return err
	}
	return s.loadPeers(now)
}

// enter makes the folder and takes its lock.
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
	lock, err := os.OpenFile(s.file(ownerName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.lock = lock
	if err := lockFile(lock); err != nil {
		return err
	}
	return checkFree(s.path, s.opts.MinFree)
}

// checkFree reports too little space to write safely.
func checkFree(path string, need uint64) error {
	if free := freeSpace(path); free < need {
		return fmt.Errorf("%w: %d MiB free, %d MiB needed", ErrDiskFull, free>>20, need>>20)
	}
	return nil
}

// isEnvironmental reports whether an error says what the machine does not let us do now, which is no damage.
func isEnvironmental(err error) bool {
	says := func(e syscall.Errno) bool { // Badger makes a text of most errors
		return errors.Is(err, e) || err != nil && strings.Contains(err.Error(), e.Error())
	}
	return errors.Is(err, ErrNewer) || errors.Is(err, fs.ErrPermission) || slices.ContainsFunc(refusals, says)
}

var refusals = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	syscall.EAGAIN, syscall.EBUSY, syscall.ENOLCK, syscall.EACCES, syscall.EPERM, syscall.ESTALE,
}

// openDatabase opens the database. It sets a damaged one aside and begins another, unless that fails, too.
func (s *Store) openDatabase() error {
	damage := s.tryDatabase()
	if damage == nil || isEnvironmental(damage) {
		return damage
	}
	path := s.file(databaseName)
	aside := fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("its database is damaged (%w), and cannot be set aside: %w", damage, err)
	}
	if err := s.tryDatabase(); err != nil { // it was no damage, but something that the database does not tell
		return errors.Join(err, os.RemoveAll(path), os.Rename(aside, path))
	}
	s.opts.Logger.Error("The peer store's database is damaged and was set aside; the learned peers in it are lost, "+
		"bans, flags and values are not", "path", path, "set_aside", aside, "damage", damage)
	return nil
}

// tryDatabase checks the files of the database and opens it.
func (s *Store) tryDatabase() error {
	dir := s.file(databaseName)
	if err := checkDatabase(dir, s.opts.Logger); err != nil {
		return err
	}
	db, err := bdb.Open(databaseOptions(dir, s.opts.Logger))
	if err != nil {
		return err
	}
	err = db.Update(func(txn *bdb.Txn) error {
		schema, err := readSchema(txn)
		if err != nil || schema == schemaVersion {
			return err
		}
		return txn.Set([]byte{versionKey}, []byte{schemaVersion})
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	return nil
}

// readSchema reads the schema of a database; 0 if it has none. A later one than ours is an error.
func readSchema(txn *bdb.Txn) (schema int, err error) {
	value, err := get(txn, versionKey)
	if len(value) == 1 {
		schema = int(value[0])
	}
	if schema > schemaVersion {
		return 0, newerError(schema)
	}
	return schema, err
}

func newerError(schema int) error {
	return fmt.Errorf("%w (its schema is %d, this program knows %d)", ErrNewer, schema, schemaVersion)
}

// get reads the value of a key of one letter; nil if there is none.
func get(txn *bdb.Txn, key byte) ([]byte, error) {
	item, err := txn.Get([]byte{key})
	if err == bdb.ErrKeyNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}
