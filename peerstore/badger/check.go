package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	bdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// This file looks at the files of a database before Badger does, which ends the process when it meets some kinds of
// damage, and drops data silently for others. The formats are those of Badger v4 with databaseOptions: no encryption,
// no compression, all values in the tables. These files matter then:
//
//	MANIFEST   which tables there are
//	*.sst      tables: sorted entries in blocks; each block and the index have a checksum
//	*.mem      logs of what is not in a table yet; each entry has a checksum, and zeros follow the last

// checkDatabase reports damage for which the database in a folder must not be opened. It tells log of damage that
// Badger gets over, and removes files that hold nothing, so that damage of them costs nothing.
func checkDatabase(dir string, log *slog.Logger) error {
	empty, _ := fs.Glob(os.DirFS(dir), "*.vlog")
	for _, name := range append(empty, "DISCARD", "LOCK", bdb.KeyRegistryFileName) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	logs, _ := fs.Glob(os.DirFS(dir), "*.mem")
	for _, name := range logs {
		name = filepath.Join(dir, name)
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if len(data) == 0 { // made, but not written to before a kill
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		at, err := checkLog(data)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if at > 0 {
			log.Error("A log of the peer store's database is damaged: the latest changes of peers are lost",
				"path", name, "byte", at)
		}
	}
	manifest, err := os.Open(filepath.Join(dir, bdb.ManifestFilename))
	if os.IsNotExist(err) {
		if tables, _ := fs.Glob(os.DirFS(dir), "*.sst"); len(tables)+len(logs) == 0 {
			return nil // there is no database
		}
	}
	if err != nil {
		return err
	}
	defer manifest.Close()
	m, end, err := bdb.ReplayManifestFile(manifest, 0, bdb.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("%s: %w", manifest.Name(), err)
	}
	if info, err := manifest.Stat(); err != nil || end < info.Size() {
		return errors.Join(err, fmt.Errorf("%s: damaged from byte %d on", manifest.Name(), end))
	}
	for id, t := range m.Tables { // others are left over from a kill
		name := filepath.Join(dir, fmt.Sprintf("%06d.sst", id))
		data, err := os.ReadFile(name)
		if err == nil && t.KeyID == 0 && t.Compression == 0 {
			err = checkTable(data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

var errFormat = errors.New("not in the expected format")

// checkTable verifies the checksums of a table. It ends with the index, its length, the checksum of the index and its
// length, as a block ends with its checksum and its length; lengths are of 4 bytes.
func checkTable(data []byte) (err error) {
	defer func() { // lengths and offsets may be anything
		if recover() != nil {
			err = errFormat
		}
	}()
	tail := func(b []byte) (rest, end []byte) {
		at := len(b) - 4
		n := int(binary.BigEndian.Uint32(b[at:]))
		return b[:at-n], b[at-n : at]
	}
	verify := func(data, checksum []byte) bool {
		var c pb.Checksum
		return proto.Unmarshal(checksum, &c) == nil && y.VerifyChecksum(data, &c) == nil
	}
	rest, checksum := tail(data)
	_, index := tail(rest)
	if len(index) == 0 || !verify(index, checksum) {
		return errors.New("the index is damaged")
	}
	table := fb.GetRootAsTableIndex(index, 0)
	for i := range table.OffsetsLength() {
		var at fb.BlockOffset
		table.Offsets(&at, i)
		if !verify(tail(data[at.Offset() : at.Offset()+at.Len()])) {
			return fmt.Errorf("block %d of %d is damaged", i+1, table.OffsetsLength())
		}
	}
	return nil
}

// checkLog returns where a log is damaged, 0 if it is not: Badger drops what follows. An entry that turns into zeros is
// no damage: it was being written when the process was killed. The error says that Badger cannot read the log at all.
//
// A log has a header: the number of an encryption key (8 bytes, 0 for none) and 12 random bytes. An entry is meta and
// user meta (a byte each), the lengths of its key and value and its expiry (uvarints), the key, the value, and the
// CRC-32C of all that.
func checkLog(data []byte) (at int, err error) {
	const header, longest = 20, 2 * maxValue
	used := len(bytes.TrimRight(data, "\x00"))
	if len(data) >= header && binary.BigEndian.Uint64(data) != 0 {
		return 0, errFormat
	}
	for at := header; at < used; {
		end := at + 2
		var lengths [3]uint64
		for i := range lengths {
			v, n := binary.Uvarint(data[min(end, len(data)):])
			lengths[i], end = v, end+max(n, 1)
		}
		if lengths[0] > longest || lengths[1] > longest {
			return at, nil
		}
		sum := end + int(lengths[0]+lengths[1])
		end = sum + crc32.Size
		if end > len(data) || crc32.Checksum(data[at:sum], castagnoli) != binary.BigEndian.Uint32(data[sum:]) {
			if used <= end {
				return 0, nil
			}
			return at, nil
		}
		at = end
	}
	return 0, nil
}
