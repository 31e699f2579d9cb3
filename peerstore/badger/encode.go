package badger

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// The tags of StoredPeer and StoredAddress (internal/switchyardpb/peerstore.proto): field number and wire type.
const (
	varint  = uint64(protowire.VarintType)
	fixed64 = uint64(protowire.Fixed64Type)
	length  = uint64(protowire.BytesType)

	peerAddress          = 1<<3 | length
	peerFirstSeen        = 2<<3 | fixed64
	peerTrusted          = 3<<3 | varint
	peerUnconditional    = 4<<3 | varint
	peerPrivate          = 5<<3 | varint
	peerScore            = 6<<3 | varint
	peerScored           = 7<<3 | fixed64
	peerHeight           = 8<<3 | varint
	peerLastConnected    = 9<<3 | fixed64
	peerLastDisconnected = 10<<3 | fixed64
	peerFailures         = 11<<3 | varint
	peerNotBefore        = 12<<3 | fixed64
	peerQuarantined      = 13<<3 | fixed64
	peerQuarantineReason = 14<<3 | length
	peerInTried          = 15<<3 | varint

	addrText        = 1<<3 | length
	addrSource      = 2<<3 | length
	addrFrom        = 3<<3 | length
	addrFirstHeard  = 4<<3 | fixed64
	addrLastHeard   = 5<<3 | fixed64
	addrLastDialed  = 6<<3 | fixed64
	addrLastSuccess = 7<<3 | fixed64
	addrFailures    = 8<<3 | varint
	addrNotBefore   = 9<<3 | fixed64
	addrLastError   = 10<<3 | length
	addrFromIP      = 11<<3 | length
	addrIP          = 12<<3 | length
	addrPort        = 13<<3 | varint
)

// encoder appends fields as proto.Marshal does: those that are zero are left out. Writing is most of what a persistent store costs, so no message is
// built first.
type encoder []byte

func (b *encoder) number(tag, v uint64) {
	if v != 0 {
		*b = protowire.AppendVarint(protowire.AppendVarint(*b, tag), v)
	}
}

// time appends one in nanoseconds since 1970.
func (b *encoder) time(tag uint64, v int64) {
	if v != 0 {
		*b = protowire.AppendFixed64(protowire.AppendVarint(*b, tag), uint64(v))
	}
}

func (b *encoder) bool(tag uint64, v bool) {
	if v {
		b.number(tag, 1)
	}
}

func (b *encoder) bytes(tag uint64, v []byte) {
	if len(v) > 0 {
		*b = protowire.AppendBytes(protowire.AppendVarint(*b, tag), v)
	}
}

func (b *encoder) text(tag uint64, v string) {
	if v != "" {
		*b = protowire.AppendString(protowire.AppendVarint(*b, tag), strings.ToValidUTF8(v, "?"))
	}
}

// appendPeer appends a StoredPeer.
func appendPeer(dst []byte, p *peerstore.Saved) []byte {
	b := encoder(dst)
	var room [256]byte
	for i := range p.Addresses {
		address := appendAddress(room[:0], &p.Addresses[i])
		b = protowire.AppendBytes(protowire.AppendVarint(b, peerAddress), address)
	}
	b.time(peerFirstSeen, p.FirstSeen)
	b.bool(peerTrusted, p.Trusted)
	b.bool(peerUnconditional, p.Unconditional)
	b.bool(peerPrivate, p.Private)
	b.number(peerScore, protowire.EncodeZigZag(int64(p.Score)))
	b.time(peerScored, p.Scored)
	b.number(peerHeight, p.Height)
	b.time(peerLastConnected, p.LastConnected)
	b.time(peerLastDisconnected, p.LastDisconnected)
	b.number(peerFailures, uint64(p.Failures))
	b.time(peerNotBefore, p.NotBefore)
	b.time(peerQuarantined, p.Quarantined)
	b.text(peerQuarantineReason, p.QuarantineReason)
	b.bool(peerInTried, p.InTried)
	return b
}

// appendAddress appends a StoredAddress.
func appendAddress(dst []byte, a *peerstore.SavedAddress) []byte {
	b := encoder(dst)
	if a.Other.IsZero() {
		if ip := a.Packed.IP[:]; string(ip[:12]) == mapped4 {
			b.bytes(addrIP, ip[12:])
		} else {
			b.bytes(addrIP, ip)
		}
		b.number(addrPort, uint64(a.Packed.Port))
	} else {
		b.text(addrText, a.Other.String())
	}
	b.text(addrSource, a.Source.Kind)
	if a.Source.From != "" {
		var room [64]byte
		b.bytes(addrFrom, appendNode(room[:0], a.Source.From))
	}
	b.time(addrFirstHeard, a.FirstHeard)
	b.time(addrLastHeard, a.LastHeard)
	b.time(addrLastDialed, a.LastDialed)
	b.time(addrLastSuccess, a.LastSuccess)
	b.number(addrFailures, uint64(a.Failures))
	b.time(addrNotBefore, a.NotBefore)
	b.text(addrLastError, a.LastError)
	if ip := a.Source.IP; ip.Is4() {
		raw := ip.As4()
		b.bytes(addrFromIP, raw[:])
	} else if ip.IsValid() {
		raw := ip.As16()
		b.bytes(addrFromIP, raw[:])
	}
	return b
}

// mapped4 begins the 16 bytes of an IPv4 address.
const mapped4 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"
