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

// Address is the address that was packed.
func (p *Packed) Address() Address {
	var room [mostText]byte
	text := string(room[:p.text(&room)])
	return Address{id: NodeID(text[len(text)-2*NodeIDSize:]), text: text}
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

func putHex(b *[2 * NodeIDSize]byte, raw *[NodeIDSize]byte) {
	for i := 0; i < NodeIDSize; i += 4 {
		binary.BigEndian.PutUint64(b[2*i:], hex8(binary.BigEndian.Uint32(raw[i:])))
	}
}

// hex8 are the 8 digits that spell v, the first one in the highest byte.
func hex8(v uint32) uint64 {
	const each = 0x0101010101010101 // times what every byte shall have
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff // half a byte in each byte
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & (0x0f * each)
	letters := (x + 6*each) >> 4 & each // 1 for what is above 9
	return x + '0'*each + letters*('a'-10-'0')
}

// unhex8 undoes hex8; what it gives for other bytes means nothing.
func unhex8(x uint64) uint32 {
	const each = 0x0101010101010101
	x = x&(0x0f*each) + (x>>6&each)*9
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// Bytes is what an id of 40 hex digits spells; false for any other.
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
		wrong |= hex8(v) ^ digits // digits of another kind are not spelled so
		binary.BigEndian.PutUint32(raw[i:], v)
	}
	if wrong != 0 {
		return [NodeIDSize]byte{}, false
	}
	return raw, true
}

// NodeIDFromBytes is the id of 40 hex digits that spells raw.
func NodeIDFromBytes(raw [NodeIDSize]byte) NodeID {
	var b [2 * NodeIDSize]byte
	putHex(&b, &raw)
	return NodeID(b[:])
}
