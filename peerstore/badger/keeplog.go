package badger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// keepLog is the one place on disk of bans, operator flags and small values: a file of lines, to which each change
// appends (see line). When it is twice as long as at its beginning, it is written anew beside itself, and the old file
// stays as the previous generation.
type keepLog struct {
	dir      string
	snapshot func() (lines []byte, count int) // everything that holds; called with mu held
	free     func() error                     // reports why nothing may be written

	// mu guards what follows, and gives lines the order in which the book was changed.
	mu     sync.Mutex
	file   *os.File // nil: what the file holds is not known, so the next update writes it anew
	size   int64    // bytes of good lines in it
	synced int64    // of these the disk has so many
	most   int64    // beyond which it is written anew
	closed bool
	flags  map[transport.NodeID]flags
	values map[string][]byte
}

const (
	keepName = "keep.log"
	keepOld  = "keep.log.old" // the previous generation
	keepNew  = "keep.log.new" // the next one, while it is written

	// keepRoom is how many bytes are appended at least before the file is written anew.
	keepRoom = 64 << 10
)

// changes reports whether l changes a flag or a value in the log, and notes it. mu is held.
func (k *keepLog) changes(l *line) bool {
	switch value, known := k.values[l.key]; {
	case l.op == opFlags && k.flags[l.id] == l.flags,
		l.op == opValue && known && bytes.Equal(value, l.value),
		l.op == opUnset && !known:
		return false
	case l.op == opFlags && l.flags == 0:
		delete(k.flags, l.id)
	case l.op == opFlags:
		k.flags[l.id] = l.flags
	case l.op == opValue:
		k.values[l.key] = l.value
	case l.op == opUnset:
		delete(k.values, l.key)
	}
	return true
}

// update calls fn, which changes the book and returns the lines that say so, and appends them to file. From then on a
// killed process does not lose them; sync(file) waits until the disk has them. After an error the next update writes
// everything that holds.
func (k *keepLog) update(fn func() (lines []byte)) (file *os.File, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := fn()
	if k.closed {
		return nil, peerstore.ErrClosed
	}
	if k.file != nil && len(lines) == 0 {
		return k.file, nil
	}
	if err = k.free(); err == nil {
		if k.file == nil || k.size+int64(len(lines)) > k.most {
			err = k.rewrite()
		} else {
			_, err = k.file.WriteAt(lines, k.size)
			k.size += int64(len(lines))
		}
	}
	if err != nil {
		k.drop()
	}
	return k.file, err
}

// sync returns when the disk has what update has appended to file.
func (k *keepLog) sync(file *os.File) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	size := k.size
	if k.file == file && k.synced == size {
		return nil // and spares the disk a flush
	}
	k.mu.Unlock()
	err := file.Sync()
	k.mu.Lock()
	switch {
	case k.file != nil && k.file != file: // written anew meanwhile, and that waits for the disk
		return nil
	case err == nil:
		k.synced = max(k.synced, size)
	default:
		k.drop() // the system may have given up what it could not write
	}
	return err
}

// drop gives up the file. mu is held.
func (k *keepLog) drop() {
	if k.file != nil {
		_ = k.file.Close()
		k.file = nil
	}
}

// rewrite begins a generation with everything that holds, and waits for the disk. mu is held.
func (k *keepLog) rewrite() error {
	k.drop()
	lines, count := k.snapshot()
	data := append(appendLine(nil, &line{op: opKeep, schema: schemaVersion, count: count}), lines...)
	path := filepath.Join(k.dir, keepName)
	f, err := os.OpenFile(filepath.Join(k.dir, keepNew), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	old := filepath.Join(k.dir, keepOld)
	if err == nil { // each generation keeps a name until the next one has its own; without links, there is but one
		_ = os.Remove(old + ".new")
		_ = os.Link(path, old+".new")
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		_ = os.Rename(old+".new", old)
		err = syncFolder(k.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	k.file, k.size, k.synced, k.most = f, int64(len(data)), int64(len(data)), 2*int64(len(data))+keepRoom
	return nil
}

// resume goes on with the file, of which g was read.
func (k *keepLog) resume(g *generation) error {
	f, err := os.OpenFile(filepath.Join(k.dir, keepName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(g.size); err != nil {
		return errors.Join(err, f.Close())
	}
	k.file, k.size, k.most = f, g.size, 2*g.begin+keepRoom
	return nil
}

func (k *keepLog) close() (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file != nil {
		err = k.file.Close()
	}
	k.file, k.closed = nil, true
	return err
}

// generation is what a file of the keep log holds.
type generation struct {
	lines  []line
	begin  int64 // bytes of the lines that said what held at its beginning; 0 if that is damaged
	size   int64 // bytes of whole lines
	torn   bool  // it ends within a line, as a kill may leave it
	bad    int   // lines that are damaged or missing, as far as that can be told
	damage error // the first of it
}

// readGeneration reads a file of the keep log. A missing one is damage, too.
func readGeneration(path string) (*generation, error) {
	data, err := os.ReadFile(path)
	if isEnvironmental(err) {
		return nil, err
	}
	if err != nil {
		return &generation{damage: err}, nil
	}
	return parseGeneration(data)
}

// parseGeneration reads the lines of a keep log. Its only error is ErrNewer.
func parseGeneration(data []byte) (*generation, error) {
	g := &generation{}
	bad := func(lines int, why error) {
		if g.bad += lines; g.damage == nil {
			g.damage = why
		}
	}
	n, count := 0, 0 // lines that were read; how many of them, behind the first, say what held at the beginning
	for at := 0; at < len(data); n++ {
		text, _, whole := bytes.Cut(data[at:], []byte("\n"))
		if !whole {
			g.torn = true
			break
		}
		l, err := parseLine(string(text))
		switch begins := l.op == opKeep; {
		case err != nil:
			bad(1, fmt.Errorf("byte %d: %w", at, err))
		case begins && l.schema > schemaVersion:
			return nil, newerError(l.schema)
		case begins != (n == 0):
			bad(1, fmt.Errorf("byte %d: not where a line of its kind belongs", at))
		case begins:
			count = l.count
		default:
			g.lines = append(g.lines, l)
		}
		at += len(text) + 1
		g.size = int64(at)
		if n == count && g.bad == 0 {
			g.begin = g.size
		}
	}
	if missing := 1 + count - n; missing > 0 {
		bad(missing, fmt.Errorf("ends after %d lines of the %d of its beginning", n, 1+count))
	}
	return g, nil
}

// syncFolder makes sure that the disk has the names of a folder's files, where a program can.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
