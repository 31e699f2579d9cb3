package badger

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
)

// head is a small file beside the database that repeats the totals of the last batch. Should the end of the database's log be damaged,
// the database takes it for the end of what was written; the head tells otherwise.
//
// Its content is four numbers of 8 bytes (sequence, peers, bans, page; the last not up to schema 2) and their CRC-32C, big endian. It is written after the batch,
// so after a kill it is at most as new as the database. It is written in place, and is too small to be torn by a kill.
type head struct{ file *os.File }

const (
	headName = "HEAD"
	headSize = 4*8 + 4
	headOld  = 3*8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openHead(dir string) (*head, error) {
	f, err := os.OpenFile(filepath.Join(dir, headName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &head{f}, nil
}

// read returns nil when there is none that can be read.
func (h *head) read() *switchyardpb.StoreTotals {
	var b [headSize]byte
	n, _ := h.file.ReadAt(b[:], 0)
	if n != headSize && n != headOld {
		return nil
	}
	numbers, sum := b[:n-4], binary.BigEndian.Uint32(b[n-4:])
	if crc32.Checksum(numbers, castagnoli) != sum {
		return nil
	}
	t := &switchyardpb.StoreTotals{
		Sequence: binary.BigEndian.Uint64(b[0:]),
		Peers:    binary.BigEndian.Uint64(b[8:]),
		Bans:     binary.BigEndian.Uint64(b[16:]),
	}
	if n == headSize {
		t.Page = binary.BigEndian.Uint64(b[24:])
	}
	return t
}

func (h *head) write(t *switchyardpb.StoreTotals) error {
	var b [headSize]byte
	binary.BigEndian.PutUint64(b[0:], t.Sequence)
	binary.BigEndian.PutUint64(b[8:], t.Peers)
	binary.BigEndian.PutUint64(b[16:], t.Bans)
	binary.BigEndian.PutUint64(b[24:], t.Page)
	binary.BigEndian.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
	_, err := h.file.WriteAt(b[:], 0)
	return err
}

func (h *head) close() error { return h.file.Close() }
