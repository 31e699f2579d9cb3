package transport

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Packed is an address of the form /ip4|ip6/IP/tcp/PORT/mconn/ID in a fixed size and without pointers, for keeping a
// great many. The zero Packed is no address.
type Packed struct {
	Node [NodeIDSize]byte
	IP   [16]byte // an IPv4 address as ::ffff:a.b.c.d
	Port uint16
}

var mapped4 = [12]byte{10: 0xff, 11: 0xff}

// Pack returns the address as a Packed; false when it has another form.
func (a Address) Pack() (Packed, bool) { return a.packed, a.plain }

// Packed is Pack without a copy: the result is part of a and read-only; nil when a has another form.
func (a *Address) Packed() *Packed {
	if !a.plain {
		return nil
	}
	return &a.packed
}

// Address returns the address that was packed; the zero Address if it has no port.
func (p *Packed) Address() Address {
	if p.Port == 0 {
		return Address{}
	}
	return Address{packed: *p, plain: true}
}

// SetPacked sets a to the address with the parts of a Packed, without intermediate copies. The port is not 0.
func (a *Address) SetPacked(node *[NodeIDSize]byte, ip *[16]byte, port uint16) {
	a.packed.Node, a.packed.IP, a.packed.Port = *node, *ip, port
	a.plain, a.id, a.text = true, "", ""
}

// ip returns the IP address.
func (p *Packed) ip() netip.Addr { return netip.AddrFrom16(p.IP).Unmap() }

// mostText is more than the longest text of a Packed.
const mostText = 128

// text writes the canonical text to b.
func (p *Packed) text(b *[mostText]byte) []byte {
	n := len(p.where(b))
	n += copy(b[n:], mconnPart)
	putHex((*[2 * NodeIDSize]byte)(b[n:]), &p.Node)
	return b[:n+2*NodeIDSize]
}

// where writes the text without the node to b.
func (p *Packed) where(b *[mostText]byte) []byte {
	n := len("/ip4/")
	if [12]byte(p.IP[:12]) == mapped4 {
		copy(b[:], "/ip4/")
		for _, v := range p.IP[12:] {
			b[n] = '0' + v/100
			if v >= 100 {
				n++
			}
			b[n] = '0' + v/10%10
			if v >= 10 {
				n++
			}
			b[n] = '0' + v%10
			n++
			b[n] = '.'
			n++
		}
		n--
	} else {
		copy(b[:], "/ip6/")
		n = len(netip.AddrFrom16(p.IP).AppendTo(b[:n]))
	}
	n += copy(b[n:], "/tcp/")
	return strconv.AppendUint(b[:n], uint64(p.Port), 10)
}

func putHex(b *[2 * NodeIDSize]byte, raw *[NodeIDSize]byte) {
	for i := 0; i < NodeIDSize; i += 4 {
		binary.BigEndian.PutUint64(b[2*i:], hex8(binary.BigEndian.Uint32(raw[i:])))
	}
}

// hex8 returns the 8 hex digits of v, the first one in the highest byte.
func hex8(v uint32) uint64 {
	const each = 0x0101010101010101 // times a value: that value in every byte
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff // half a byte in each byte
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & (0x0f * each)
	letters := (x + 6*each) >> 4 & each // 1 for what is above 9
	return x + '0'*each + letters*('a'-10-'0')
}

// unhex8 undoes hex8; for other bytes the result is meaningless.
func unhex8(x uint64) uint32 {
	const each = 0x0101010101010101
	x = x&(0x0f*each) + (x>>6&each)*9
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// Bytes decodes an id of 40 hex digits; false for any other.
func (id NodeID) Bytes() (raw [NodeIDSize]byte, ok bool) {
	if len(id) != 2*NodeIDSize {
		return raw, false
	}
	var wrong uint64
	for i := 0; i < NodeIDSize; i += 4 {
		s := id[2*i : 2*i+8]
		digits := uint64(s[0])<<56 | uint64(s[1])<<48 | uint64(s[2])<<40 | uint64(s[3])<<32 |
			uint64(s[4])<<24 | uint64(s[5])<<16 | uint64(s[6])<<8 | uint64(s[7])
		v := unhex8(digits)
		wrong |= hex8(v) ^ digits // hex8 spells other digits differently
		binary.BigEndian.PutUint32(raw[i:], v)
	}
	if wrong != 0 {
		return [NodeIDSize]byte{}, false
	}
	return raw, true
}

// NodeIDFromBytes returns the id whose 40 hex digits encode raw.
func NodeIDFromBytes(raw [NodeIDSize]byte) NodeID {
	var b [2 * NodeIDSize]byte
	putHex(&b, &raw)
	return NodeID(b[:])
}
