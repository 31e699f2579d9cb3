package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// This file reads the database's files without the database. Badger ends the process when it meets some kinds of damage, and drops
// files that it cannot place; so its files are checked before it sees them, and what is left of damaged ones can be read.
//
// The formats are those of Badger v4, written with databaseOptions: no encryption, no compression, all values in the tree. Of its
// files then only these matter:
//
//	MANIFEST   which tables there are
//	*.sst      tables: sorted entries in blocks, each block and the index with a checksum
//	*.mem      logs: what is not in a table yet, each entry with a checksum, zeros behind the last

// found is an entry of a table or log.
type found struct {
	key     []byte // without its version
	version uint64 // of several entries of one key the one with the highest version holds
	deleted bool
	end     uint64 // the second in which the database lets go of it; 0: never
	value   []byte
}

const (
	metaDeleted = 1 << 0 // badger/v4 value.go: bitDelete
	metaTxn     = 1 << 6 // bitTxn
	metaEndTxn  = 1 << 7 // bitFinTxn
)

func makeFound(key []byte, meta byte, end uint64, value []byte) (found, bool) {
	if len(key) <= 8 || meta&metaEndTxn != 0 || bytes.HasPrefix(key, []byte("!badger!")) {
		return found{}, false // not one of ours
	}
	return found{y.ParseKey(key), y.ParseTs(key), meta&metaDeleted != 0, end, value}, true
}

var errFormat = errors.New("not in the expected format")

// readTable checks a table and calls fn (if not nil) with its entries. Damaged blocks are left out; the error says how many.
func readTable(data []byte, fn func(found)) (err error) {
	defer func() { // as in readBlock
		if recover() != nil {
			err = errFormat
		}
	}()
	index, err := tableIndex(data)
	if err != nil {
		scanBlocks(data, fn)
		return err
	}
	bad, blocks := 0, index.OffsetsLength()
	for i := range blocks {
		var at fb.BlockOffset
		if !index.Offsets(&at, i) {
			return errFormat
		}
		if err := readBlock(data, uint64(at.Offset()), uint64(at.Len()), fn); err != nil {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d blocks are damaged", bad, blocks)
	}
	return nil
}

// tail cuts the last n bytes off b.
func tail(b []byte, n uint64) (rest, end []byte, ok bool) {
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:uint64(len(b))-n], b[uint64(len(b))-n:], true
}

// tailLength cuts a length of 4 bytes and as many bytes before it off b.
func tailLength(b []byte) (rest, end []byte, ok bool) {
	b, n, ok := tail(b, 4)
	if !ok {
		return nil, nil, false
	}
	return tail(b, uint64(binary.BigEndian.Uint32(n)))
}

func verify(data, checksum []byte) (err error) {
	defer func() { // an unknown algorithm
		if recover() != nil {
			err = errFormat
		}
	}()
	var c pb.Checksum
	if err := proto.Unmarshal(checksum, &c); err != nil {
		return err
	}
	return y.VerifyChecksum(data, &c)
}

// tableIndex finds the index at the end of a table: index, its length, checksum of the index, its length.
func tableIndex(data []byte) (*fb.TableIndex, error) {
	rest, checksum, ok := tailLength(data)
	if !ok {
		return nil, errors.New("the index is cut off")
	}
	_, index, ok := tailLength(rest)
	if !ok || len(index) == 0 {
		return nil, errors.New("the index is cut off")
	}
	if err := verify(index, checksum); err != nil {
		return nil, errors.New("the index is damaged")
	}
	return fb.GetRootAsTableIndex(index, 0), nil
}

// scanBlocks reads the blocks of a table whose index cannot be read, up to the first that is damaged: they stand one behind the other, and the checksum tells where each ends.
func scanBlocks(data []byte, fn func(found)) {
	const longest = longestEntry + 64<<10 // a block is closed once it has 4 KiB
	begin := 0
	for end := 4; end <= len(data) && end-begin <= longest && fn != nil; end++ {
		if n := binary.BigEndian.Uint32(data[end-4:]); n == 0 || n > 32 { // no length of a checksum
			continue
		}
		if readBlock(data, uint64(begin), uint64(end-begin), nil) == nil {
			_ = readBlock(data, uint64(begin), uint64(end-begin), fn)
			begin = end
		}
	}
}

// readBlock reads a block: entries, their offsets (4 bytes each), their number, checksum of all that, its length. An entry begins with how many
// bytes its key shares with the block's first key and how many follow (2 bytes each, in the machine's order, as the offsets are).
func readBlock(data []byte, offset, length uint64, fn func(found)) (err error) {
	if offset+length > uint64(len(data)) {
		return errFormat
	}
	body, checksum, ok := tailLength(data[offset : offset+length])
	if !ok || verify(body, checksum) != nil {
		return errors.New("damaged")
	}
	if fn == nil {
		return nil
	}
	defer func() { // what the checksum covers is as it was written; this is for what was not written by Badger
		if recover() != nil {
			err = errFormat
		}
	}()
	n := int(binary.BigEndian.Uint32(body[len(body)-4:]))
	offsets := body[len(body)-4-4*n : len(body)-4]
	entries := body[:len(body)-4-4*n]
	var first []byte
	for i := range n {
		end := len(entries)
		if i+1 < n {
			end = int(binary.NativeEndian.Uint32(offsets[4*(i+1):]))
		}
		e := entries[binary.NativeEndian.Uint32(offsets[4*i:]):end]
		shared, more := binary.NativeEndian.Uint16(e), binary.NativeEndian.Uint16(e[2:])
		key := slices.Concat(first[:shared], e[4:4+more])
		if i == 0 {
			first = key
		}
		var v y.ValueStruct
		v.Decode(e[4+more:])
		if f, ours := makeFound(key, v.Meta, v.ExpiresAt, v.Value); ours {
			fn(f)
		}
	}
	return nil
}

const logHeader = 20 // key id (8 bytes, 0: not encrypted), random (12 bytes)

// readLog checks a log and calls fn (if not nil) with its entries; where it is damaged it goes on with the next entry that is whole. errTorn says that the log
// ends in the middle of a batch: as a rule the process was killed while it wrote.
//
// An entry is meta, user meta (a byte each), length of key, length of value, expiry (as uvarints), key, value, and the CRC-32C of all that.
func readLog(data []byte, fn func(found)) error {
	if len(data) == 0 {
		return nil // made, and never written to
	}
	if len(data) < logHeader {
		return errors.New("the header is cut off")
	}
	var damage error
	if binary.BigEndian.Uint64(data) != 0 {
		damage = errors.New("the header is damaged")
	}
	batch := false                       // it has begun, and has not ended
	data = bytes.TrimRight(data, "\x00") // what is cut off the last entry reads as zeros
	for at := logHeader; ; {
		size, f, ours, intact := logEntry(data, at)
		if intact {
			if ours && fn != nil {
				fn(f)
			}
			batch = data[at]&metaEndTxn == 0 && (batch || data[at]&metaTxn != 0)
			at += size
			continue
		}
		next := 0
		if at < len(data) {
			batch = true
			next = nextEntry(data, at+1)
		}
		if next == 0 && len(data)-at <= longestEntry {
			if damage == nil && batch {
				damage = errTorn
			}
			return damage
		}
		damage = fmt.Errorf("damaged at byte %d", at)
		if next == 0 {
			return damage
		}
		at = next
	}
}

var errTorn = errors.New("ends in the middle of a batch")

// longestEntry is a key and the largest value that we write, and room.
const longestEntry = 256 << 10

// nextEntry finds the next entry that is whole; 0 when there is none. It may look into the middle of a damaged one, but nothing there can be taken for an entry: the
// version at the end of each key is no UTF-8, which all texts of remotes are.
func nextEntry(data []byte, from int) int {
	for at := from; at < len(data); at++ {
		if data[at]&^(metaDeleted|metaTxn|metaEndTxn) == 0 {
			if _, _, _, intact := logEntry(data, at); intact {
				return at
			}
		}
	}
	return 0
}

// logEntry reads the entry that begins at a byte, behind which there are but zeros once data ends.
func logEntry(data []byte, at int) (size int, f found, ours, intact bool) {
	begin := at
	at += 2
	var lengths [3]uint64 // key, value, expiry
	for i := range lengths {
		if at >= len(data) {
			return 0, f, false, false
		}
		v, n := binary.Uvarint(data[at:])
		if n <= 0 {
			return 0, f, false, false
		}
		lengths[i] = v
		at += n
	}
	key, value, expiry := lengths[0], lengths[1], lengths[2]
	if key == 0 || key > 1<<16 || value > 1<<20 || uint64(at)+key+value > uint64(len(data)) {
		return 0, f, false, false
	}
	end := at + int(key+value)
	var sum [4]byte
	copy(sum[:], data[end:])
	intact = crc32.Checksum(data[begin:end], castagnoli) == binary.BigEndian.Uint32(sum[:])
	f, ours = makeFound(data[at:at+int(key)], data[begin], expiry, data[at+int(key):end])
	return end + 4 - begin, f, ours, intact
}

// readManifest returns the names of the tables that belong to the database.
func readManifest(dir string) (map[string]bool, error) {
	f, err := os.Open(filepath.Join(dir, bdb.ManifestFilename))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m, end, err := bdb.ReplayManifestFile(f, 0, bdb.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	tables := make(map[string]bool, len(m.Tables))
	for id, t := range m.Tables {
		tables[fmt.Sprintf("%06d.sst", id)] = true
		if t.KeyID != 0 || t.Compression != 0 {
			return tables, errFormat
		}
	}
	if end < info.Size() {
		return tables, fmt.Errorf("damaged from byte %d on", end)
	}
	return tables, nil
}

// survey is what there is in a store's folder, and what is wrong with it.
type survey struct {
	tables, logs []string // file names
	orphans      []string // tables that the manifest does not name: left over from a kill, or their place in the manifest was lost
	torn         []string // logs that end in the middle of a batch, which the database then drops: it was not acknowledged, unless the head knows of it
	damage       []error
	entries      entries // all that there is, if that is little and nothing is wrong with it
	version      uint64  // the last one of these
	longest      int     // log, in bytes that are used
}

// littleToLoad is how large the files of a store may be together that is loaded from what was read of them, in bytes: of about a hundred thousand peers. Large ones would take too much memory.
const littleToLoad = 16 << 20

// surveyFolder checks all files that matter. Of files that are no larger than little together it keeps what is in them.
func surveyFolder(dir string, little int64) (*survey, error) {
	s := &survey{}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	size := int64(0)
	for _, f := range files {
		switch filepath.Ext(f.Name()) {
		case ".sst":
			s.tables = append(s.tables, f.Name())
		case ".mem":
			s.logs = append(s.logs, f.Name())
		default:
			continue
		}
		info, err := f.Info()
		if err != nil {
			return nil, err
		}
		size += info.Size()
	}
	var all []found
	var keep func(found)
	if size <= little {
		keep = func(f found) { all, s.version = append(all, f), max(s.version, f.version) }
	}
	named, err := readManifest(dir)
	switch {
	case err != nil && ours(err):
		return nil, err
	case errors.Is(err, os.ErrNotExist) && len(s.tables)+len(s.logs) == 0:
		return s, nil // a new store
	case err != nil:
		s.damage = append(s.damage, fmt.Errorf("%s: %w", bdb.ManifestFilename, err))
	}
	for name := range named {
		if !slices.Contains(s.tables, name) {
			s.damage = append(s.damage, fmt.Errorf("%s: is missing", name))
		}
	}
	for _, name := range s.tables {
		orphan := !named[name]
		if orphan {
			s.orphans = append(s.orphans, name)
		}
		if err := readFile(dir, name, readTable, keep); err != nil && ours(err) {
			return nil, err
		} else if err != nil && !orphan {
			s.damage = append(s.damage, err)
		}
	}
	for _, name := range s.logs {
		read := func(data []byte, fn func(found)) error {
			s.longest = max(s.longest, len(bytes.TrimRight(data, "\x00")))
			return readLog(data, fn)
		}
		if err := readFile(dir, name, read, keep); err != nil && ours(err) {
			return nil, err
		} else if errors.Is(err, errTorn) {
			s.torn = append(s.torn, name)
		} else if err != nil {
			s.damage = append(s.damage, err)
		}
	}
	if keep != nil && len(s.orphans)+len(s.torn)+len(s.damage) == 0 {
		s.entries = entriesOf(all, uint64(time.Now().Unix()))
	}
	return s, nil
}

func readFile(dir, name string, read func([]byte, func(found)) error, fn func(found)) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0) // the database will want to write, too
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := read(data, fn); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
