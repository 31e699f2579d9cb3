package badger

import (
	"fmt"
	"math"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Keys are one letter and a name:
//
//	a <number>  StoredPage; the number has 8 bytes, big endian
//	p <node>    StoredPeer, in the schemas 1 and 2
//	b <target>  StoredBan; the target as text
//	m <key>     a small named value, as it is
//	t           StoreTotals
//	v           the schema version, one byte
//
// where <node> is 0x00 and the 20 bytes that 40 hex digits spell, or 0x01 and the text of any other node id. New pages are beside the other keys: so when the database merges
// its newest tables, they hardly overlap with older ones.
const (
	pageKey    = 'a'
	peerKey    = 'p'
	banKey     = 'b'
	metaKey    = 'm'
	totalsKey  = 't'
	versionKey = 'v'
)

const (
	hexNode  = 0x00
	textNode = 0x01
)

// schemaVersion is what this program writes. It refuses to open a store of a later version, rather than lose what it does not know of. What earlier ones wrote it
// reads, and writes it anew: in version 1 all addresses are texts, up to version 2 each peer has a key.
const schemaVersion = 3

func appendNode(b []byte, id transport.NodeID) []byte {
	if raw, ok := id.Bytes(); ok {
		return append(append(b, hexNode), raw[:]...)
	}
	return append(append(b, textNode), id...)
}

func parseNode(b []byte) (transport.NodeID, error) {
	switch {
	case len(b) == 0:
		return "", nil
	case b[0] == hexNode && len(b) == 1+transport.NodeIDSize:
		return transport.NodeIDFromBytes([transport.NodeIDSize]byte(b[1:])), nil
	case b[0] == textNode && len(b) > 1:
		return transport.NodeID(b[1:]), nil
	}
	return "", fmt.Errorf("not a node id: %d bytes %.8x", len(b), b)
}

func nameKey(letter byte, name string) []byte { return append([]byte{letter}, name...) }

// stamp is a time on disk: nanoseconds since 1970 as far as they reach, 0 for the zero time.
func stamp(t time.Time) uint64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261:
		return math.MaxInt64
	case t.Year() < 1970:
		return 1
	}
	return uint64(max(t.UnixNano(), 1))
}

func unstamp(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos(n))
}

// nanos is a time on disk as a peerstore.Saved has it.
func nanos(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
