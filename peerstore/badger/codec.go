package badger

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/internal/book"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Keys of the database are one letter and a name:
//
//	p <node>  StoredPeer, without the operator's flags: those are in the keep log
//	v         the schema, one byte
//
// where <node> is 0x00 and the 20 bytes that 40 hex digits spell, or 0x01 and the text of any other node id.
const (
	peerKey    = 'p'
	versionKey = 'v'

	hexNode  = 0x00
	textNode = 0x01
)

// schemaVersion is what this program writes. It refuses a store of a later version, rather than lose what it does not
// know of, and converts those of the versions 1 to 3.
const schemaVersion = 4

func peerKeyOf(id transport.NodeID) []byte { return appendNode([]byte{peerKey}, id) }

func appendNode(b []byte, id transport.NodeID) []byte {
	if raw, ok := id.Bytes(); ok {
		return append(append(b, hexNode), raw[:]...)
	}
	return append(append(b, textNode), id...)
}

// parseNode reads what appendNode wrote, or nothing, which is no node.
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

// stamp is a time on disk, as the book holds it.
func stamp(t time.Time) uint64 { return uint64(book.Nano(t)) }

func unstamp(n uint64) time.Time { return book.TimeOf(int64(min(n, math.MaxInt64))) }

// encodePeer writes a peer as a StoredPeer, without its flags.
func encodePeer(r *peerstore.Record) ([]byte, error) {
	p := &switchyardpb.StoredPeer{
		FirstSeen:        stamp(r.FirstSeen),
		Score:            int32(r.Score),
		Scored:           stamp(r.Scored),
		Height:           r.Height,
		LastConnected:    stamp(r.LastConnected),
		LastDisconnected: stamp(r.LastDisconnected),
		Failures:         r.Failures,
		NotBefore:        stamp(r.NotBefore),
		Quarantined:      stamp(r.Quarantined),
		QuarantineReason: strings.ToValidUTF8(r.QuarantineReason, "?"),
		InTried:          r.InTried,
	}
	for i := range r.Addresses {
		p.Addresses = append(p.Addresses, encodeAddress(&r.Addresses[i]))
	}
	value, err := proto.Marshal(p)
	for err == nil && len(value) > maxValue { // of a peer with thousands of addresses
		p.Addresses = p.Addresses[:len(p.Addresses)/2]
		value, err = proto.Marshal(p)
	}
	return value, err
}

func encodeAddress(a *peerstore.AddressRecord) *switchyardpb.StoredAddress {
	p := &switchyardpb.StoredAddress{
		Source:      strings.ToValidUTF8(a.Source.Kind, "?"),
		FromIp:      a.Source.IP.AsSlice(),
		FirstHeard:  stamp(a.FirstHeard),
		LastHeard:   stamp(a.LastHeard),
		LastDialed:  stamp(a.LastDialed),
		LastSuccess: stamp(a.LastSuccess),
		Failures:    a.Failures,
		NotBefore:   stamp(a.NotBefore),
		LastError:   strings.ToValidUTF8(a.LastError, "?"),
	}
	if plain := a.Address.Packed(); plain != nil {
		p.Ip, p.Port = netip.AddrFrom16(plain.IP).Unmap().AsSlice(), uint32(plain.Port)
	} else {
		p.Address = a.Address.String()
	}
	if a.Source.From != "" {
		p.From = appendNode(nil, a.Source.From)
	}
	return p
}

// decodePeer reads a peer from its key (without the letter) and value. It leaves out addresses that it cannot read, and
// counts them.
func decodePeer(key, value []byte) (r peerstore.Record, bad int, err error) {
	var p switchyardpb.StoredPeer
	if r.ID, err = parseNode(key); err != nil {
		return r, 0, err
	}
	if r.ID == "" {
		return r, 0, errors.New("no node id")
	}
	if err := proto.Unmarshal(value, &p); err != nil {
		return r, 0, err
	}
	r.FirstSeen = unstamp(p.FirstSeen)
	r.Score = int16(min(max(p.Score, peerstore.MinScore), peerstore.MaxScore))
	r.Scored = unstamp(p.Scored)
	r.Height = p.Height
	r.LastConnected, r.LastDisconnected = unstamp(p.LastConnected), unstamp(p.LastDisconnected)
	r.Failures, r.NotBefore = p.Failures, unstamp(p.NotBefore)
	r.Quarantined, r.QuarantineReason = unstamp(p.Quarantined), p.QuarantineReason
	r.InTried = p.InTried
	r.Addresses = make([]peerstore.AddressRecord, 0, len(p.Addresses))
	for _, stored := range p.Addresses {
		a, err := decodeAddress(r.ID, stored)
		if err != nil {
			bad++
			continue
		}
		r.Addresses = append(r.Addresses, a)
	}
	return r, bad, nil
}

func decodeAddress(id transport.NodeID, p *switchyardpb.StoredAddress) (a peerstore.AddressRecord, err error) {
	if len(p.Ip) == 0 {
		if a.Address, err = transport.ParseAddress(p.Address); err != nil {
			return a, err
		}
	} else {
		raw, hex := id.Bytes()
		ip, ok := netip.AddrFromSlice(p.Ip)
		if !hex || !ok || p.Port == 0 || p.Port > math.MaxUint16 {
			return a, fmt.Errorf("not an address: %x %d", p.Ip, p.Port)
		}
		plain := transport.Packed{Node: raw, IP: ip.As16(), Port: uint16(p.Port)}
		a.Address = plain.Address()
	}
	if !a.Address.Is(id) {
		return a, fmt.Errorf("%s is not an address of %s", a.Address, id)
	}
	a.Source.Kind = p.Source
	if a.Source.From, err = parseNode(p.From); err != nil {
		return a, err
	}
	a.Source.IP, _ = netip.AddrFromSlice(p.FromIp)
	a.FirstHeard, a.LastHeard = unstamp(p.FirstHeard), unstamp(p.LastHeard)
	a.LastDialed, a.LastSuccess = unstamp(p.LastDialed), unstamp(p.LastSuccess)
	a.Failures, a.NotBefore, a.LastError = p.Failures, unstamp(p.NotBefore), p.LastError
	return a, nil
}
