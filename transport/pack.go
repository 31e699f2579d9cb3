package transport

import (
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
	const ip4Text = 80 // at most 77 bytes; an IPv6 text may be longer
	var text strings.Builder
	text.Grow(len(ps) * ip4Text)
	var room [ip4Text]byte
	for i := range ps {
		at := text.Len()
		text.Write(ps[i].appendText(room[:0]))
		one := text.String()[at:]
		dst = append(dst, Address{id: NodeID(one[len(one)-2*NodeIDSize:]), text: one})
	}
	return dst
}

func (p *Packed) appendText(b []byte) []byte {
	if [12]byte(p.IP[:12]) == mapped4 {
		b = append(b, "/ip4/"...)
		for i := 12; i < 16; i++ {
			if i > 12 {
				b = append(b, '.')
			}
			b = appendByte(b, p.IP[i])
		}
	} else {
		b = netip.AddrFrom16(p.IP).AppendTo(append(b, "/ip6/"...))
	}
	b = strconv.AppendUint(append(b, "/tcp/"...), uint64(p.Port), 10)
	return appendHex(append(b, mconnPart...), p.Node[:])
}

func appendByte(b []byte, v byte) []byte {
	switch {
	case v >= 100:
		return append(b, '0'+v/100, '0'+v/10%10, '0'+v%10)
	case v >= 10:
		return append(b, '0'+v/10, '0'+v%10)
	}
	return append(b, '0'+v)
}

func appendHex(b []byte, raw []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range raw {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
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
	return NodeID(appendHex(b[:0], raw[:]))
}
