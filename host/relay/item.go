package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/switchyard-p2p/switchyard/internal/relaypb"
)

// ID names an item: the SHA-256 of all of it.
type ID [sha256.Size]byte

// IDOf returns the id of an item.
func IDOf(item []byte) ID { return sha256.Sum256(item) }

// String returns the id as 64 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler with 64 hex digits.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("an item's id has %d hex digits, this one %d", hex.EncodedLen(len(id)), len(text))
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// soleItem is the size from which an item has a message of its own, which all peers share. Smaller ones are copied into
// a message with others: a message costs more than so many bytes.
const soleItem = 8 << 10

// item is an item that we can serve.
type item struct {
	id      ID
	key     uint64
	body    []byte
	wire    []byte   // the whole message that answers a request for it; nil below soleItem until somebody needs it
	own     bool     // we have published it
	gone    bool     // no longer kept
	fetched bool     // its body was handed to a peer
	receipt *Receipt // of Publish; the driver's
}

// message returns the message with the item alone.
func (it *item) message() []byte {
	if it.wire == nil {
		it.wire = relaypb.EncodeItems(relaypb.KindItems, it.body)
		it.body = it.wire[len(it.wire)-len(it.body):] // one copy is enough
	}
	return it.wire
}

// shelf holds the items that we can serve, in the order in which they came; the oldest ones leave first.
type shelf struct {
	most     int              // items
	mostSize int64            // bytes of bodies; a single item may be larger
	items    map[uint64]*item // by key
	order    []*item          // order[first:]
	first    int
	bytes    int64
	start    uint64 // number of the oldest item: they are counted
}

func (s *shelf) add(it *item) {
	s.items[it.key] = it
	s.order = append(s.order, it)
	s.bytes += int64(len(it.body))
	for len(s.items) > s.most || s.bytes > s.mostSize && len(s.items) > 1 {
		old := s.order[s.first]
		s.order[s.first] = nil
		s.first++
		s.start++
		old.gone = true
		delete(s.items, old.key)
		s.bytes -= int64(len(old.body))
	}
	if s.first > 64 && s.first*2 > len(s.order) {
		n := copy(s.order, s.order[s.first:])
		clear(s.order[n:])
		s.order, s.first = s.order[:n], 0
	}
}

// at returns an item by its number, from start to before end.
func (s *shelf) at(num uint64) *item { return s.order[s.first+int(num-s.start)] }

// end returns the number of the next item that will come.
func (s *shelf) end() uint64 { return s.start + uint64(len(s.order)-s.first) }
