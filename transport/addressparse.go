package transport

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
)

// AddressError reports why a text is not an address: the wrong part, and what is wanted there.
type AddressError struct{ Text, Part, Want string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("address %.120q: %.160s: want %s", e.Text, e.Part, e.Want)
}

// usualText is the room that parsers begin with, in bytes: enough for most addresses.
const usualText = 192

// parser builds the canonical text of one address in out. It goes over the input once and allocates only the result.
type parser struct {
	listen bool // port 0 is allowed, a node is not
	stage  stage
	udp    bool   // the port is of UDP
	last   string // name of the last component

	out   []byte // the canonical text
	idAt  int    // where the node id begins in out; 0: no node
	hexID bool   // the node id is not part of the text: it is sum
	sum   [NodeIDSize]byte

	ip     netip.Addr // the host, where it is one
	number uint16     // of the port
	more   bool       // there are components between the port and the node
	mconn  bool       // the node is sum, and asks for the comet wire
}

type stage uint8

const (
	wantHost stage = iota
	wantPort       // a host that needs a TCP or UDP port
	wantMore       // whole; further components and a node may follow
	whole          // the node was named: nothing may follow
)

func (p *parser) address() Address {
	if p.mconn && p.ip.IsValid() && !p.more { // over TCP, as all of these
		return Address{packed: Packed{p.sum, p.ip.As16(), p.number}, plain: true}
	}
	end := len(p.out)
	if p.hexID {
		p.out = hex.AppendEncode(p.out, p.sum[:])
		all := string(p.out)
		return Address{id: NodeID(all[end:]), text: all[:end]}
	}
	text := string(p.out)
	if p.idAt == 0 {
		return Address{text: text}
	}
	return Address{id: NodeID(text[p.idAt:]), text: text}
}

// parse reads any form.
func (p *parser) parse(s string) error {
	var err *AddressError
	switch {
	case s == "":
		err = wrong("nothing", "a multiaddr such as /ip4/1.2.3.4/tcp/26656/mconn/ID, or ID@HOST:PORT")
	case len(s) > MaxAddressText:
		err = wrong(strconv.Itoa(len(s))+" bytes", "at most "+strconv.Itoa(MaxAddressText))
	case s[0] == '/':
		err = p.multiaddr(s)
	default:
		err = p.comet(s)
	}
	if err == nil && len(p.out) > MaxAddressText {
		err = wrong("canonical form", "at most "+strconv.Itoa(MaxAddressText)+" bytes")
	}
	if err == nil && p.listen && p.stage == whole {
		err = wrong("node", "none, where to listen")
	}
	if err != nil { // a nil *AddressError must not become a non-nil error
		err.Text = s
		return err
	}
	return nil
}

func wrong(part, want string) *AddressError { return &AddressError{Part: part, Want: want} }

func wrongValue(what, value, want string) *AddressError {
	return wrong(fmt.Sprintf("%s %.80q", what, value), want)
}

// comet reads [scheme://][id@]host:port.
func (p *parser) comet(s string) *AddressError {
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if !strings.EqualFold(scheme, "mconn") && !strings.EqualFold(scheme, "tcp") {
			return wrongValue("scheme", scheme, "mconn:// or tcp://")
		}
		s = rest
	}
	id, where, ok := strings.Cut(s, "@")
	if !ok {
		id, where = "", s
	} else if id == "" {
		return wrong("node id before @", "40 hex digits")
	}
	colon := strings.LastIndexByte(where, ':')
	if colon < 0 {
		return wrongValue("host", where, "HOST:PORT, or a multiaddr that begins with /")
	}
	host, port := where[:colon], where[colon+1:]
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
		if !strings.Contains(host, ":") {
			return wrongValue("host", host, "an IPv6 address in brackets, or none")
		}
	case strings.Contains(host, ":"):
		return wrongValue("host", host, "an IPv6 address in [brackets]")
	}
	return p.hostPort(id, host, port)
}

// hostPort takes the three parts of CometBFT's form; id may be empty.
func (p *parser) hostPort(id, host, port string) *AddressError {
	kind := "dns"
	if ip, err := netip.ParseAddr(host); err == nil {
		kind = "ip4"
		if !ip.Is4() {
			kind = "ip6"
		}
	}
	if err := p.component(kind, host); err != nil {
		return err
	}
	if err := p.component("tcp", port); err != nil {
		return err
	}
	if id == "" {
		return nil
	}
	return p.component("mconn", id)
}

// multiaddr reads a text that begins with a slash.
func (p *parser) multiaddr(s string) *AddressError {
	rest, more := s[1:], true
	for more {
		var name, value string
		name, rest, more = strings.Cut(rest, "/")
		if takesValue(name) {
			if !more {
				return wrongValue("end after component", name, "its value")
			}
			value, rest, more = strings.Cut(rest, "/")
		}
		if err := p.component(name, value); err != nil {
			return err
		}
	}
	switch p.stage {
	case wantHost:
		return wrong("nothing", "a host")
	case wantPort:
		return wrong("no port", "/tcp/PORT or /udp/PORT")
	}
	return nil
}

func takesValue(name string) bool {
	switch name {
	case "ip4", "ip6", "tcp", "udp", "mconn", "p2p":
		return true
	case "quic-v1":
		return false
	}
	return ma.ProtocolWithName(name).Size != 0
}

// component appends one component in canonical form.
func (p *parser) component(name, value string) *AddressError {
	if p.stage == whole {
		return wrongValue("component after the node", name, "the node last (relayed addresses are not supported)")
	}
	before := p.last
	p.last = name
	switch name {
	case "ip4", "ip6", "dns", "dns4", "dns6", "dnsaddr", "memory":
		if p.stage != wantHost {
			return wrongValue("component", name, "one host only")
		}
		p.stage = wantPort
		return p.host(name, value)
	case "tcp", "udp":
		if p.stage != wantPort {
			return wrongValue("component", name, "it right after a host (/ip4, /ip6, /dns, /dns4, /dns6)")
		}
		p.stage, p.udp = wantMore, name == "udp"
		return p.port(name, value)
	}
	switch {
	case p.stage == wantHost:
		return p.otherHost(name, value)
	case p.stage == wantPort:
		return wrongValue("component", name, "/tcp/PORT or /udp/PORT after the host")
	}
	switch name {
	case "mconn":
		if p.udp {
			return wrongValue("component", name, "it over TCP (the comet wire needs a byte stream)")
		}
		return p.cometNode(value)
	case "p2p", "ipfs":
		return p.peer(value)
	case "quic-v1":
		if before != "udp" {
			return wrongValue("component", name, "it right after /udp/PORT")
		}
		p.out = append(p.out, "/quic-v1"...)
		return nil
	}
	return p.further(name, value)
}

func (p *parser) host(name, value string) *AddressError {
	switch name {
	case "ip4":
		ip, err := netip.ParseAddr(value)
		if err != nil || !ip.Is4() {
			return wrongValue(name, value, "an IPv4 address such as 192.0.2.1")
		}
		p.ip = ip
	case "ip6":
		ip, err := netip.ParseAddr(value)
		switch {
		case err != nil || ip.Is4():
			return wrongValue(name, value, "an IPv6 address such as 2001:db8::1")
		case ip.Zone() != "":
			return wrongValue(name, value, "an IPv6 address without a zone")
		}
		p.ip = ip.Unmap()
	case "memory":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n == 0 && !p.listen {
			return wrongValue("memory number", value, "1 to 18446744073709551615")
		}
		p.out = strconv.AppendUint(append(p.out, "/memory/"...), n, 10)
		p.stage = wantMore
	default:
		p.out = append(append(append(p.out, '/'), name...), '/')
		if err := p.appendName(value); err != nil {
			return err
		}
		if name == "dnsaddr" { // its TXT records hold whole addresses
			p.stage = wantMore
		}
	}
	switch {
	case p.ip.Is4():
		p.out = p.ip.AppendTo(append(p.out, "/ip4/"...))
	case p.ip.IsValid():
		p.out = p.ip.AppendTo(append(p.out, "/ip6/"...))
	}
	return nil
}

// appendName appends a host name in lower case, without a final dot.
func (p *parser) appendName(name string) *AddressError {
	const wanted = "a host name or an IP address (letters, digits, - and _; an international name in its xn-- form)"
	s := strings.TrimSuffix(name, ".")
	if len(s) == 0 || len(s) > 253 { // RFC 1035, 2.3.4
		return wrongValue("host name", name, "1 to 253 bytes")
	}
	label, digits := 0, 0 // bytes and digits of the label so far
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z' || c == '_':
		case '0' <= c && c <= '9':
			digits++
		case c == '-' && label > 0 && i+1 < len(s) && s[i+1] != '.':
		case c == '.' && label > 0:
			label, digits = -1, 0
		default:
			return wrongValue("host name", name, wanted)
		}
		if label++; label > 63 {
			return wrongValue("host name", name, "labels of at most 63 bytes")
		}
		p.out = append(p.out, c)
	}
	// Some resolvers read a name whose last label is a number as an IP address in an old notation (127.1, 0x7f000001).
	tail := s[len(s)-label:]
	if label == 0 || label == digits || strings.HasPrefix(tail, "0x") || strings.HasPrefix(tail, "0X") {
		return wrongValue("host name", name, wanted)
	}
	return nil
}

func (p *parser) port(name, value string) *AddressError {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 && !p.listen {
		want := "1 to 65535"
		if p.listen {
			want = "0 to 65535"
		}
		return wrongValue("port", value, want)
	}
	p.number = uint16(n)
	p.out = strconv.AppendUint(append(append(append(p.out, '/'), name...), '/'), n, 10)
	return nil
}

func (p *parser) cometNode(value string) *AddressError {
	if len(value) != 2*NodeIDSize {
		return wrongValue("node id", value, "40 hex digits")
	}
	p.out = append(p.out, mconnPart...)
	p.idAt = len(p.out)
	for i := range len(value) {
		c := value[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
		case 'A' <= c && c <= 'F':
			c += 'a' - 'A'
		default:
			return wrongValue("node id", value, "40 hex digits")
		}
		p.out = append(p.out, c)
	}
	_, err := hex.Decode(p.sum[:], p.out[p.idAt:])
	p.mconn = err == nil
	p.stage = whole
	return nil
}

func (p *parser) peer(value string) *AddressError {
	const wanted = "a libp2p peer id such as 12D3KooW... (40 hex digits go after /mconn/)"
	text, key, why := decodePeerID(value)
	if why != "" {
		return wrongValue("peer id", value, wanted)
	}
	p.out = append(p.out, peerPart...)
	p.idAt = len(p.out)
	p.out = append(p.out, text...)
	if key != nil {
		h := sha256.Sum256(key)
		p.sum, p.hexID = [NodeIDSize]byte(h[:NodeIDSize]), true
	}
	p.stage = whole
	return nil
}

// otherHost takes the hosts that carry no port component of their own.
func (p *parser) otherHost(name, value string) *AddressError {
	switch name {
	case "onion", "onion3", "garlic32", "garlic64":
		p.stage = wantMore
		return p.append(name, value)
	}
	return wrongValue("component", name, "/ip4, /ip6, /dns, /dns4, /dns6 or /memory first")
}

// further takes a component that may stand between the port and the node.
func (p *parser) further(name, value string) *AddressError {
	p.more = true
	proto := ma.ProtocolWithName(name)
	switch {
	case proto.Code == 0:
		return wrongValue("component", name, "one that go-multiaddr knows")
	case name == "p2p-circuit":
		return wrongValue("component", name, "a direct address (relays are not supported)")
	case proto.Path, name == "ip6zone", name == "ipcidr", name == "onion", name == "onion3", name == "garlic32",
		name == "garlic64":
		return wrongValue("component", name, "the node, or nothing")
	}
	return p.append(name, value)
}

// append lets go-multiaddr check and normalise a component that has no case here.
func (p *parser) append(name, value string) *AddressError {
	proto := ma.ProtocolWithName(name)
	p.out = append(append(p.out, '/'), name...)
	if proto.Size == 0 {
		return nil
	}
	c, err := ma.NewComponent(name, value)
	if err != nil {
		return wrongValue(name, value, "its usual form ("+err.Error()+")")
	}
	canonical := c.Value()
	if canonical == "" {
		return wrongValue(name, value, "a value")
	}
	p.out = append(append(p.out, '/'), canonical...)
	return nil
}
