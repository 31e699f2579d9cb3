package badger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// second is the second copy of what must not be lost: all bans, all small values, and the peers that have a flag of the operator's (as they were when they got it). It
// is a file beside the database, of lines:
//
//	CRC NUMBER begin COUNT          how many lines follow that say all that was there then
//	CRC NUMBER put KEY VALUE        of the same number, those; then, with numbers that go on by one, what was changed since
//	CRC NUMBER del KEY
//
// where CRC is the CRC-32C of the rest of the line in hex, and KEY and VALUE are the database's in base64. Changes are added here before they go to the database, whose totals
// say which line was the last then: so it can be told which of the two knows more. When the lines that were added are as long as what was there at the beginning, the file
// is written anew, beside the old one, and takes its place.
type second struct {
	dir    string
	file   *os.File          // nil: the file is to be written anew
	size   int64             // of what is good in it
	most   int64             // beyond this it is written anew
	number uint64            // of the last line
	small  map[string][]byte // what it holds but for bans: the book has those at hand
	flags  map[string]flags  // of the peers in it
	added  []byte            // lines that are not in the file yet
	dirty  bool              // the disk may not have all of it
}

const (
	secondName = "COPY"
	secondNew  = "COPY.new"
	// secondRoom is what may be added at least until the file is written anew, in bytes.
	secondRoom = 256 << 10
	// secondMost is the largest file that is read, in bytes: twice as much as there may be (bans, and small values of the largest size), and more.
	secondMost = 1 << 30
)

const (
	opBegin = "begin"
	opPut   = "put"
	opDel   = "del"
)

// appendLine appends a line.
func appendLine(b []byte, number uint64, op string, fields ...[]byte) []byte {
	const sum = len("00000000")
	at := len(b)
	b = append(b, "00000000 "...)
	b = strconv.AppendUint(b, number, 10)
	b = append(append(b, ' '), op...)
	for _, f := range fields {
		b = base64.RawStdEncoding.AppendEncode(append(b, ' '), f)
	}
	copy(b[at:], fmt.Sprintf("%08x", crc32.Checksum(b[at+sum+1:], castagnoli)))
	return append(b, '\n')
}

// line is one that was read.
type line struct {
	number uint64
	op     string
	fields [][]byte
}

func parseLine(b []byte) (l line, ok bool) {
	sum, rest, _ := bytes.Cut(b, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || len(sum) != 8 || uint32(want) != crc32.Checksum(rest, castagnoli) {
		return l, false
	}
	parts := bytes.Split(rest, []byte(" "))
	if len(parts) < 2 {
		return l, false
	}
	if l.number, err = strconv.ParseUint(string(parts[0]), 10, 64); err != nil {
		return l, false
	}
	l.op = string(parts[1])
	for _, p := range parts[2:] {
		f, err := base64.RawStdEncoding.AppendDecode(nil, p)
		if err != nil {
			return l, false
		}
		l.fields = append(l.fields, f)
	}
	switch n := len(l.fields); {
	case l.op == opBegin && n == 1:
		return l, true
	case l.op == opPut && n == 2 || l.op == opDel && n == 1:
		return l, len(l.fields[0]) > 0
	}
	return l, false
}

// copied is what a second copy says.
type copied struct {
	values map[string][]byte // by the database's keys
	number uint64            // of the last line that could be read
	size   int64             // up to its end
	damage error             // nil: all lines up to it are there
}

// parseCopy reads a second copy. What follows the last good line is no damage: a line that was being added when the process or the machine ended. Whether one that had
// been there is missing is told by the database.
func parseCopy(data []byte) *copied {
	c := &copied{values: make(map[string][]byte)}
	left, bad := -1, false // lines of the beginning that are still to come (-1: it has none yet); a bad line was met
	for at := 0; ; {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			break
		}
		l, ok := parseLine(data[at : at+end])
		at += end + 1
		if !ok {
			bad = true
			continue
		}
		switch count, first := l.begins(); {
		case first && left < 0 && !bad:
			left = count
		case bad, first, left < 0, left > 0 && l.number != c.number, left == 0 && l.number != c.number+1:
			if c.damage == nil {
				c.damage = fmt.Errorf("damaged before byte %d", at)
			}
		case left > 0:
			left--
		}
		switch l.op {
		case opPut:
			c.values[string(l.fields[0])] = l.fields[1]
		case opDel:
			delete(c.values, string(l.fields[0]))
		}
		c.number, c.size = max(c.number, l.number), int64(at)
	}
	if c.damage == nil && left != 0 {
		c.damage = errors.New("the beginning is damaged")
	}
	return c
}

// begins says that a line is the first of a file, and how many others belong to the beginning.
func (l *line) begins() (count int, ok bool) {
	if l.op != opBegin {
		return 0, false
	}
	n, err := strconv.ParseUint(string(l.fields[0]), 10, 31)
	return int(n), err == nil
}

// readCopy reads the second copy in a folder. There is none when it is nil without an error.
func readCopy(dir string) (*copied, error) {
	path := filepath.Join(dir, secondName)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > secondMost {
		return &copied{damage: fmt.Errorf("has %d bytes, there are never more than %d", info.Size(), secondMost)}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if ours(err) {
			return nil, err
		}
		return &copied{damage: err}, nil
	}
	return parseCopy(data), nil
}

func newSecond(dir string) second {
	return second{dir: dir, small: make(map[string][]byte), flags: make(map[string]flags)}
}

// put notes a value that is to be written with the next flush. Bans are told from the others by their key.
func (s *second) put(key, value []byte) {
	if key[0] != banKey {
		s.small[string(key)] = bytes.Clone(value)
	}
	s.number++
	s.added = appendLine(s.added, s.number, opPut, key, value)
}

// del notes that a value is gone.
func (s *second) del(key []byte) {
	delete(s.small, string(key))
	delete(s.flags, string(key))
	s.number++
	s.added = appendLine(s.added, s.number, opDel, key)
}

// flags are those of the operator's that a peer has.
type flags uint8

func flagsOf(trusted, unconditional, private bool) (f flags) {
	for i, on := range [...]bool{trusted, unconditional, private} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

// peer notes a peer whose flags have changed.
func (s *second) peer(key, value []byte, now flags) {
	if now == 0 && len(s.flags) == 0 {
		return
	}
	switch was := s.flags[string(key)]; {
	case now == was:
	case now == 0:
		s.del(key)
	default:
		s.put(key, value)
		s.flags[string(key)] = now
	}
}

// flush writes what was noted. If it cannot, nothing of it is kept but what the file is to hold; bans gives all bans of now, with their keys.
func (s *second) flush(bans func(func(key, value []byte)) error) error {
	if s.file != nil && len(s.added) == 0 {
		return nil
	}
	if s.file == nil || s.size+int64(len(s.added)) > s.most {
		return s.rewrite(bans)
	}
	if _, err := s.file.WriteAt(s.added, s.size); err != nil {
		s.drop() // what is in the file now is not known
		return err
	}
	s.size += int64(len(s.added))
	s.added, s.dirty = s.added[:0], true
	return nil
}

// rewrite writes the file anew.
func (s *second) rewrite(bans func(func(key, value []byte)) error) error {
	s.drop()
	s.number++
	var body []byte
	count := 0
	put := func(key, value []byte) {
		body = appendLine(body, s.number, opPut, key, value)
		count++
	}
	for key, value := range s.small {
		put([]byte(key), value)
	}
	if err := bans(put); err != nil {
		return err
	}
	path := filepath.Join(s.dir, secondNew)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	head := appendLine(nil, s.number, opBegin, strconv.AppendInt(nil, int64(count), 10))
	_, err = f.Write(head)
	if err == nil {
		_, err = f.Write(body)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(s.dir, secondName)); err != nil {
		return err
	}
	if err := syncFolder(s.dir); err != nil {
		return err
	}
	return s.open(s.number, int64(len(head)+len(body)))
}

// drop gives up the file, so that the next flush writes it anew.
func (s *second) drop() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	s.added = nil
}

// open goes on with the file, which is good up to its size.
func (s *second) open(number uint64, size int64) error {
	f, err := os.OpenFile(filepath.Join(s.dir, secondName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.size, s.number, s.dirty = f, size, number, false
	s.most = 2*size + secondRoom
	return nil
}

// sync waits until the disk has it.
func (s *second) sync() error {
	if s.file == nil || !s.dirty {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		s.drop() // the system may have given up what it could not write
		return err
	}
	s.dirty = false
	return nil
}

func (s *second) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
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
