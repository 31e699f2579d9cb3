package badger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bdb "github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// This file reads the stores of the schemas 1 to 3, once. Their database lay in the store's folder itself, in Badger's
// managed mode, with these keys:
//
//	a <number>  StoredPage, in schema 3; of several that name a peer the one with the highest number counts
//	p <node>    StoredPeer with its flags, in the schemas 1 and 2
//	b <target>  StoredBan
//	m <key>     a small value
//	t           StoreTotals
//	v           the schema
//
// Beside it lay COPY, a second copy of bans, values and peers with flags, which counts here if the database is damaged:
// lines "CRC NUMBER put KEY VALUE" and "CRC NUMBER del KEY", with keys and values as in the database, in base64.
//
// The conversion writes the new database and then the keep log. With the keep log the new store stands, and the old
// files are moved to a folder of their own. A kill before that makes the next start convert again, one after it makes
// the next start move the rest.
const (
	oldPageKey   = 'a'
	oldBanKey    = 'b'
	oldMetaKey   = 'm'
	oldTotalsKey = 't'

	oldCopyName = "COPY"
	oldFolder   = "before-schema-4" // where the old files go

	// oldMemTable is larger than any table in memory of earlier versions: see memTable.
	oldMemTable = 64 << 20
)

// oldFiles are the files of an earlier store.
var oldFiles = []string{"MANIFEST", oldCopyName, "*.sst", "*.mem", "*.vlog", "HEAD", "DISCARD", "KEYREGISTRY", "LOCK"}

// fenceName is a file that looks like the log of an old database and says that the schema is a later one: programs that
// know only the old schemas refuse such a store, instead of beginning another in its folder, without any ban.
const fenceName = "00001.mem"

func fence() []byte {
	log := make([]byte, 20, 64) // its header
	entry := []byte{0, 0, 9, 1, 0, versionKey, 0, 0, 0, 0, 0, 0, 0, 0, schemaVersion}
	binary.BigEndian.PutUint64(entry[6:], math.MaxUint64-1) // Badger stores the complement of the version, here 1
	return binary.BigEndian.AppendUint32(append(log, entry...), crc32.Checksum(entry, castagnoli))
}

// convert makes a store of an earlier schema a current one, if that is what stands in the folder.
func (s *Store) convert() error {
	exists := func(name string) bool {
		_, err := os.Lstat(s.file(name))
		return err == nil
	}
	if !exists(keepName) && !exists(keepOld) && (exists(bdb.ManifestFilename) || exists(oldCopyName)) {
		if err := s.convertOld(); err != nil {
			return err
		}
	}
	aside := s.file(oldFolder)
	for _, pattern := range oldFiles {
		names, _ := fs.Glob(os.DirFS(s.path), pattern)
		for _, name := range names {
			if name == fenceName {
				if data, _ := os.ReadFile(s.file(name)); bytes.Equal(data, fence()) {
					continue
				}
			}
			err := os.MkdirAll(aside, 0o700)
			if err == nil {
				err = os.Rename(s.file(name), filepath.Join(aside, name))
			}
			if err != nil {
				return err
			}
		}
	}
	if exists(fenceName) {
		return nil
	}
	return os.WriteFile(s.file(fenceName), fence(), 0o600)
}

// convertOld writes the new database and the keep log. It leaves out what is damaged, and says so.
func (s *Store) convertOld() error {
	if err := os.RemoveAll(s.file(databaseName)); err != nil { // of a conversion that was killed
		return err
	}
	db, err := bdb.Open(databaseOptions(s.file(databaseName), s.opts.Logger))
	if err != nil {
		return err
	}
	old := oldStore{to: db.NewWriteBatch(), seen: map[string]struct{}{}, bans: map[string]peerstore.Ban{},
		values: map[string][]byte{}, flags: map[transport.NodeID]flags{}}
	damage := old.readDatabase(s)
	if damage != nil && !isEnvironmental(damage) {
		err = old.readCopy(s.file(oldCopyName))
	} else {
		err = damage
	}
	if err == nil {
		err = old.to.Flush()
	}
	old.to.Cancel()
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	bans := slices.Collect(maps.Values(old.bans))
	keep := keepLog{dir: s.path, snapshot: func() ([]byte, int) { return snapshot(old.values, old.flags, bans) }}
	for range 2 { // the previous generation, too
		if err := keep.rewrite(); err != nil {
			return err
		}
	}
	level, text := slog.LevelInfo, "The peer store was converted to the current schema"
	if damage != nil || old.unreadable > 0 {
		level, text = slog.LevelError, text+"; what was damaged is lost"
	}
	s.opts.Logger.Log(context.Background(), level, text, "path", s.path, "old_files", s.file(oldFolder),
		"from", old.schema, "to", schemaVersion, "peers", old.peers, "bans", len(old.bans), "values", len(old.values),
		"flagged_peers", len(old.flags), "unreadable", old.unreadable, "damage", fmt.Sprint(damage))
	return keep.close()
}

// oldStore is what was read of a store of an earlier schema. Peers go to the new database at once.
type oldStore struct {
	to         *bdb.WriteBatch
	seen       map[string]struct{} // nodes whose newest state was met
	schema     int                 // 0: not known
	peers      int
	unreadable int // pages, peers and bans
	bans       map[string]peerstore.Ban
	values     map[string][]byte
	flags      map[transport.NodeID]flags
}

// readDatabase reads all of the database. Its error is damage, if it is not environmental.
func (o *oldStore) readDatabase(s *Store) (err error) {
	if err := checkDatabase(s.path, s.opts.Logger); err != nil {
		return err
	}
	db, err := bdb.OpenManaged(databaseOptions(s.path, s.opts.Logger).WithMemTableSize(oldMemTable))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(txn *bdb.Txn) error {
		if o.schema, err = readSchema(txn); err != nil {
			return err
		}
		var totals switchyardpb.StoreTotals
		value, err := get(txn, oldTotalsKey)
		if err == nil {
			err = proto.Unmarshal(value, &totals)
		}
		if err == nil {
			err = o.pages(txn, &totals)
		}
		for _, letter := range []byte{peerKey, oldBanKey, oldMetaKey} {
			if err == nil && (letter != peerKey || totals.First == 0) { // else pages have replaced all of these
				err = each(txn, letter, false, o.entry)
			}
		}
		return err
	})
}

// pages reads the pages that count, the newest first.
func (o *oldStore) pages(txn *bdb.Txn, totals *switchyardpb.StoreTotals) error {
	return each(txn, oldPageKey, true, func(key, value []byte) error {
		number := binary.BigEndian.Uint64(append(key[1:len(key):len(key)], make([]byte, 8)...))
		if number < totals.First || number > totals.Page && totals.Page > 0 { // of a write that was not finished
			return nil
		}
		page, err := readOldPage(value)
		if err != nil {
			o.unreadable++
			return nil
		}
		for _, p := range page.Peers {
			if err := o.peer(p.Node, p); err != nil {
				return err
			}
		}
		for _, node := range page.Gone {
			o.seen[string(node)] = struct{}{}
		}
		return nil
	})
}

func readOldPage(value []byte) (*switchyardpb.StoredPage, error) {
	const longest = 1 << 20
	var page switchyardpb.StoredPage
	if err := proto.Unmarshal(value, &page); err != nil || len(page.Packed) == 0 {
		return &page, err
	}
	if n, err := s2.DecodedLen(page.Packed); err != nil || n > longest {
		return nil, errFormat
	}
	plain, err := s2.Decode(nil, page.Packed)
	if err != nil {
		return nil, err
	}
	return &page, proto.Unmarshal(plain, &page)
}

// entry takes a peer, a ban or a value.
func (o *oldStore) entry(key, value []byte) error {
	name := string(key[1:])
	switch key[0] {
	case peerKey:
		var p switchyardpb.StoredPeer
		if proto.Unmarshal(value, &p) == nil {
			return o.peer(key[1:], &p)
		}
		o.unreadable++
	case oldBanKey:
		var b switchyardpb.StoredBan
		target, err := peerstore.ParseTarget(name)
		if err == nil {
			err = proto.Unmarshal(value, &b)
		}
		if err != nil {
			o.unreadable++
			return nil
		}
		o.bans[name] = peerstore.Ban{Target: target, Since: unstamp(b.Since), Until: unstamp(b.Until), Reason: b.Reason}
	case oldMetaKey:
		o.values[name] = slices.Clone(value)
	}
	return nil
}

// peer takes the first state that it is given of a peer, which is the newest.
func (o *oldStore) peer(node []byte, p *switchyardpb.StoredPeer) error {
	if _, seen := o.seen[string(node)]; seen {
		return nil
	}
	o.seen[string(node)] = struct{}{}
	id, err := parseNode(node)
	if err != nil || id == "" {
		o.unreadable++
		return nil
	}
	if f := flagsOf(&peerstore.Record{Trusted: p.Trusted, Unconditional: p.Unconditional, Private: p.Private}); f != 0 {
		o.flags[id] = f
	}
	p.Node, p.Trusted, p.Unconditional, p.Private = nil, false, false, false
	value, err := proto.Marshal(p)
	if err != nil {
		return err
	}
	o.peers++
	return o.to.Set(peerKeyOf(id), value)
}

// readCopy reads COPY, in place of what was read of a damaged database, peers apart.
func (o *oldStore) readCopy(path string) error {
	data, err := os.ReadFile(path)
	if isEnvironmental(err) {
		return err
	}
	values := make(map[string][]byte)
	for text := range strings.Lines(string(data)) {
		sum, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		if sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(rest), castagnoli)) {
			o.unreadable++
			continue
		}
		fields := append(strings.Split(rest, " "), "", "", "") // number, put or del, key, value
		key, _ := base64.RawStdEncoding.DecodeString(fields[2])
		value, _ := base64.RawStdEncoding.DecodeString(fields[3])
		switch {
		case len(key) == 0:
		case fields[1] == "put":
			values[string(key)] = value
		case fields[1] == "del":
			delete(values, string(key))
		}
	}
	clear(o.bans)
	clear(o.values)
	for key, value := range values {
		if err := o.entry([]byte(key), value); err != nil {
			return err
		}
	}
	return nil
}
