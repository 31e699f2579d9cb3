package transport

import (
	"encoding/hex"
	"net/netip"
	"slices"
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

// Packed returns the address as a Packed, which is part of a and read-only; nil when a has another form.
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
	return b[:n+hex.Encode(b[n:], p.Node[:])]
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

// Bytes decodes an id of 40 hex digits; false for any other.
func (id NodeID) Bytes() (raw [NodeIDSize]byte, ok bool) {
	if len(id) != 2*NodeIDSize {
		return raw, false
	}
	text := [2 * NodeIDSize]byte([]byte(id))
	_, err := hex.Decode(raw[:], text[:])
	return raw, err == nil && !slices.ContainsFunc(text[:], func(c byte) bool { return 'A' <= c && c <= 'F' })
}

// NodeIDFromBytes returns the id whose 40 hex digits encode raw.
func NodeIDFromBytes(raw [NodeIDSize]byte) NodeID {
	var b [2 * NodeIDSize]byte
	hex.Encode(b[:], raw[:])
	return NodeID(b[:])
}
