package badger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Keys are one letter and a name:
//
//	p <node>    StoredPeer
//	b <target>  StoredBan; the target as text
//	m <key>     a small named value, as it is
//	t           StoreTotals
//	v           the schema version, one byte
//
// where <node> is 0x00 and the 20 bytes that 40 hex digits spell, or 0x01 and the text of any other node id.
const (
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

// schemaVersion is what this program writes. It refuses to open a store of a later version, rather than lose what it does not know of.
const schemaVersion = 1

func appendNode(b []byte, id transport.NodeID) []byte {
	if len(id) == 2*transport.NodeIDSize {
		var raw [transport.NodeIDSize]byte
		if _, err := hex.Decode(raw[:], []byte(id)); err == nil && hex.EncodeToString(raw[:]) == string(id) {
			return append(append(b, hexNode), raw[:]...)
		}
	}
	return append(append(b, textNode), id...)
}

func parseNode(b []byte) (transport.NodeID, error) {
	switch {
	case len(b) == 0:
		return "", nil
	case b[0] == hexNode && len(b) == 1+transport.NodeIDSize:
		return transport.NodeID(hex.EncodeToString(b[1:])), nil
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
	return time.Unix(0, int64(min(n, math.MaxInt64)))
}

func encodePeer(r *peerstore.Record) ([]byte, error) {
	p := &switchyardpb.StoredPeer{
		FirstSeen: stamp(r.FirstSeen),
		Trusted:   r.Trusted, Unconditional: r.Unconditional, Private: r.Private,
		Score: int32(r.Score), Scored: stamp(r.Scored), Height: r.Height,
		LastConnected: stamp(r.LastConnected), LastDisconnected: stamp(r.LastDisconnected),
		Failures: r.Failures, NotBefore: stamp(r.NotBefore),
		Quarantined: stamp(r.Quarantined), QuarantineReason: strings.ToValidUTF8(r.QuarantineReason, "?"),
		InTried:   r.InTried,
		Addresses: make([]*switchyardpb.StoredAddress, len(r.Addresses)),
	}
	for i := range r.Addresses {
		a := &r.Addresses[i]
		s := &switchyardpb.StoredAddress{
			Address: a.Address.String(), Source: strings.ToValidUTF8(a.Source.Kind, "?"),
			FirstHeard: stamp(a.FirstHeard), LastHeard: stamp(a.LastHeard),
			LastDialed: stamp(a.LastDialed), LastSuccess: stamp(a.LastSuccess),
			Failures: a.Failures, NotBefore: stamp(a.NotBefore), LastError: strings.ToValidUTF8(a.LastError, "?"),
		}
		if a.Source.From != "" {
			s.From = appendNode(nil, a.Source.From)
		}
		s.FromIp = a.Source.IP.AsSlice()
		p.Addresses[i] = s
	}
	return proto.Marshal(p)
}

// decodePeer reads a peer from its key (without its letter) and value. Addresses that cannot be read are left out and counted.
func decodePeer(key, value []byte) (r peerstore.Record, bad int, err error) {
	id, err := parseNode(key)
	if err != nil {
		return r, 0, err
	}
	if id == "" {
		return r, 0, errors.New("no node id")
	}
	var p switchyardpb.StoredPeer
	if err := proto.Unmarshal(value, &p); err != nil {
		return r, 0, err
	}
	r = peerstore.Record{
		ID: id, FirstSeen: unstamp(p.FirstSeen),
		Trusted: p.Trusted, Unconditional: p.Unconditional, Private: p.Private,
		Score: int16(min(max(p.Score, peerstore.MinScore), peerstore.MaxScore)), Scored: unstamp(p.Scored), Height: p.Height,
		LastConnected: unstamp(p.LastConnected), LastDisconnected: unstamp(p.LastDisconnected),
		Failures: p.Failures, NotBefore: unstamp(p.NotBefore),
		Quarantined: unstamp(p.Quarantined), QuarantineReason: p.QuarantineReason,
		InTried:   p.InTried,
		Addresses: make([]peerstore.AddressRecord, 0, len(p.Addresses)),
	}
	for _, s := range p.Addresses {
		addr, err := transport.ParseAddress(s.Address)
		from, ferr := parseNode(s.From)
		if err != nil || ferr != nil || addr.ID() != id {
			bad++
			continue
		}
		ip, _ := netip.AddrFromSlice(s.FromIp)
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{
			Address: addr, Source: peerstore.Source{Kind: s.Source, From: from, IP: ip},
			FirstHeard: unstamp(s.FirstHeard), LastHeard: unstamp(s.LastHeard),
			LastDialed: unstamp(s.LastDialed), LastSuccess: unstamp(s.LastSuccess),
			Failures: s.Failures, NotBefore: unstamp(s.NotBefore), LastError: s.LastError,
		})
	}
	return r, bad, nil
}

func encodeBan(b *peerstore.Ban) ([]byte, error) {
	return proto.Marshal(&switchyardpb.StoredBan{Since: stamp(b.Since), Until: stamp(b.Until), Reason: strings.ToValidUTF8(b.Reason, "?")})
}

// decodeBan reads a ban from its key (without its letter) and value.
func decodeBan(key, value []byte) (b peerstore.Ban, err error) {
	if b.Target, err = peerstore.ParseTarget(string(key)); err != nil {
		return b, err
	}
	var s switchyardpb.StoredBan
	if err := proto.Unmarshal(value, &s); err != nil {
		return b, err
	}
	b.Since, b.Until, b.Reason = unstamp(s.Since), unstamp(s.Until), s.Reason
	return b, nil
}
