package transport

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// Packed is an address of the form /ip4|ip6/IP/tcp/PORT/mconn/ID in a fixed size and without pointers: for those who keep a great many. The zero
// Packed is no address.
type Packed struct {
	Node [NodeIDSize]byte
	IP   [16]byte // an IPv4 address as ::ffff:a.b.c.d
	Port uint16
}

var mapped4 = [12]byte{10: 0xff, 11: 0xff}

// Pack is the address as a Packed; false when it has another form.
func (a Address) Pack() (p Packed, ok bool) {
	if !a.isMconn() {
		return p, false
	}
	p.Node, ok = a.id.Bytes()
	if !ok {
		return p, false
	}
	where := a.where()
	const ip4, ip6, tcp = "/ip4/", "/ip6/", "/tcp/"
	if len(where) < len(ip4) {
		return p, false
	}
	rest := where[len(ip4):]
	switch where[:len(ip4)] {
	case ip4:
		copy(p.IP[:], mapped4[:])
		n := 0
		for i := 12; i < 16; i++ {
			v := 0
			for ; n < len(rest) && '0' <= rest[n] && rest[n] <= '9'; n++ {
				v = v*10 + int(rest[n]-'0')
			}
			p.IP[i] = byte(v) // the text is canonical
			if i < 15 {
				n++
			}
		}
		if n > len(rest) {
			return p, false
		}
		rest = rest[n:]
	case ip6:
		n := 0
		for n < len(rest) && rest[n] != '/' {
			n++
		}
		ip, err := netip.ParseAddr(rest[:n])
		if err != nil {
			return p, false
		}
		p.IP, rest = ip.As16(), rest[n:]
	default:
		return p, false
	}
	if len(rest) <= len(tcp) || rest[:len(tcp)] != tcp {
		return p, false
	}
	port := 0
	for _, c := range []byte(rest[len(tcp):]) {
		if c < '0' || '9' < c { // /tls, /ws, ...
			return p, false
		}
		port = port*10 + int(c-'0')
	}
	p.Port = uint16(port)
	return p, true
}

// Unpack appends the addresses to dst. Their texts share one allocation, which lives as long as any of them.
func Unpack(dst []Address, ps ...Packed) []Address {
	const usual = 77 // an IPv4 text has no more; an IPv6 text may be longer
	var all strings.Builder
	all.Grow(len(ps) * usual)
	var room [mostText]byte
	for i := range ps {
		at := all.Len()
		all.Write(room[:ps[i].text(&room)])
		one := all.String()[at:]
		dst = append(dst, Address{id: NodeID(one[len(one)-2*NodeIDSize:]), text: one})
	}
	return dst
}

// mostText is more than the longest text of a Packed.
const mostText = 128

// text writes the canonical text and says how long it is.
func (p *Packed) text(b *[mostText]byte) int {
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
	n = len(strconv.AppendUint(b[:n], uint64(p.Port), 10))
	n += copy(b[n:], mconnPart)
	putHex((*[2 * NodeIDSize]byte)(b[n:]), &p.Node)
	return n + 2*NodeIDSize
}

// putHex spells four bytes at once.
func putHex(b *[2 * NodeIDSize]byte, raw *[NodeIDSize]byte) {
	for i := 0; i < NodeIDSize; i += 4 {
		v := uint64(binary.BigEndian.Uint32(raw[i:]))
		v = (v | v<<16) & 0x0000ffff0000ffff // half a byte in each byte
		v = (v | v<<8) & 0x00ff00ff00ff00ff
		v = (v | v<<4) & 0x0f0f0f0f0f0f0f0f
		letters := (v + 0x0606060606060606) >> 4 & 0x0101010101010101 // 1 for what is above 9
		binary.BigEndian.PutUint64(b[2*i:], v+0x3030303030303030+letters*('a'-'0'-10))
	}
}

// Bytes is what an id of 40 hex digits spells; false for any other.
func (id NodeID) Bytes() (raw [NodeIDSize]byte, ok bool) {
	if len(id) != 2*NodeIDSize {
		return raw, false
	}
	for i := range raw {
		hi, lo := unhex(id[2*i]), unhex(id[2*i+1])
		if hi|lo > 15 {
			return raw, false
		}
		raw[i] = hi<<4 | lo
	}
	return raw, true
}

// unhex is the value of a lower-case digit; 255 for anything else.
func unhex(c byte) byte {
	if d := c - '0'; d <= 9 {
		return d
	}
	if d := c - 'a'; d <= 5 {
		return d + 10
	}
	return 255
}

// NodeIDFromBytes is the id of 40 hex digits that spells raw.
func NodeIDFromBytes(raw [NodeIDSize]byte) NodeID {
	var b [2 * NodeIDSize]byte
	putHex(&b, &raw)
	return NodeID(b[:])
}
