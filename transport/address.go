package transport

import (
	"net/netip"
	"strconv"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
)

// MaxAddressText bounds the text of an address, in bytes. The longest useful form (a host name of 253 bytes, a port,
// quic-v1 and a peer id) has about 340.
const MaxAddressText = 512

// The wires that an address can ask for: see Address.Wire.
const (
	WireComet  = "comet"
	WireLibp2p = "libp2p"
)

// Address is where a node can be reached, and the node id that is expected there. It is an immutable, comparable value
// (a map key); the zero Address is no address. Its text is a canonical multiaddr whose last component names the node:
// /mconn/<40 hex> asks for the comet wire, /p2p/<peer id> for libp2p, none leaves both open.
//
// Two addresses are equal exactly if their texts are: parsing normalises letter case, number and IP forms and old
// names of components. Host names are kept as names. The accepted forms are:
//
//	/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT[/...]             and [/mconn/<40 hex>] or [/p2p/<peer id>]
//	/ip4|ip6|dns|dns4|dns6/HOST/udp/PORT[/quic-v1][/...]   and [/p2p/<peer id>]
//	/memory/NUMBER, /onion3/HOST:PORT, /garlic32/HOST, /dnsaddr/HOST   and a node likewise
//	[<40 hex>@]HOST:PORT, the same after mconn:// or tcp://
//
// where [/...] are further components that go-multiaddr knows (tls, ws, sni, ...), other than hosts, paths and relays.
//
// Most addresses that a node learns lead to an IP and a TCP port, and name a node by 40 hex digits. These have a fixed
// size (see Pack), point to nothing, and make their text at each call of String. Others hold one allocation of about
// their text's size.
type Address struct {
	packed Packed
	plain  bool // packed is all there is
	id     NodeID
	text   string // id is part of it, or of the same memory
}

// ParseAddress reads a multiaddr, CometBFT's id@host:port, or a URL mconn://id@host:port. Its error is an
// *AddressError.
func ParseAddress(s string) (Address, error) {
	var buf [usualText]byte
	p := parser{out: buf[:0]}
	if err := p.parse(s); err != nil {
		return Address{}, err
	}
	return p.address(), nil
}

// ParseListen reads where to listen: an address as ParseAddress reads it, but without a node, and with port 0 (memory
// number 0) for a free one. Its error is an *AddressError.
func ParseListen(s string) (ma.Multiaddr, error) {
	p := parser{listen: true, out: make([]byte, 0, usualText)}
	if err := p.parse(s); err != nil {
		return nil, err
	}
	return p.address().Multiaddr(), nil
}

// NewAddress makes an address of a multiaddr and a node: a node id of 40 hex digits (then the address asks for the
// comet wire), a libp2p peer id (then for libp2p), or "" (then the address keeps the node that m names, if any). When
// both name a node they must name the same. Its error is an *AddressError.
func NewAddress(m ma.Multiaddr, node string) (Address, error) {
	text := m.String()
	a, err := ParseAddress(text)
	if err != nil || node == "" {
		return a, err
	}
	b, err := a.WithNode(node)
	if err == nil && !a.Is("") && a.ID() != b.ID() {
		return Address{}, &AddressError{Text: text, Part: "node " + strconv.Quote(node),
			Want: "the same node as in the address"}
	}
	return b, err
}

// CometAddress makes the address /ip4|ip6|dns/HOST/tcp/PORT/mconn/ID out of its parts, as CometBFT sends them to its
// peers. host is an IP address (without brackets) or a host name; an empty id leaves the node and the wire open. Its
// error is an *AddressError.
func CometAddress(id NodeID, host string, port uint16) (Address, error) {
	var buf [usualText]byte
	p := parser{out: buf[:0]}
	if err := p.hostPort(string(id), host, strconv.Itoa(int(port))); err != nil {
		err.Text = host + ":" + strconv.Itoa(int(port))
		if id != "" {
			err.Text = string(id) + "@" + err.Text
		}
		return Address{}, err
	}
	return p.address(), nil
}

// WithNode returns the address with another node component: node is a node id of 40 hex digits (asks for the comet
// wire), a libp2p peer id (asks for libp2p), or "" (names none). Its error is an *AddressError.
func (a Address) WithNode(node string) (Address, error) {
	switch {
	case node == "":
		return ParseAddress(a.where())
	case len(node) == 2*NodeIDSize:
		return ParseAddress(a.where() + mconnPart + node)
	}
	return ParseAddress(a.where() + peerPart + node)
}

// ID returns the node id expected there; "" when the address names none.
func (a Address) ID() NodeID {
	if a.plain {
		return NodeIDFromBytes(a.packed.Node)
	}
	return a.id
}

// Is reports whether the address names the node id, "" for none: a.ID() == id, without making a text.
func (a Address) Is(id NodeID) bool {
	if !a.plain {
		return a.id == id
	}
	// as with nearly all others
	if len(id) != 2*NodeIDSize || id[0] != hexDigits[a.packed.Node[0]>>4] || id[1] != hexDigits[a.packed.Node[0]&15] {
		return false
	}
	raw, ok := id.Bytes()
	return ok && raw == a.packed.Node
}

// String returns the canonical multiaddr with the node component; "" for the zero Address.
func (a Address) String() string {
	if a.plain {
		var room [mostText]byte
		return string(a.packed.text(&room))
	}
	return a.text
}

// IsZero reports whether this is no address.
func (a Address) IsZero() bool { return !a.plain && a.text == "" }

// Wire returns the wire that the address asks for: WireComet after /mconn/, WireLibp2p after /p2p/, "" when it is open.
func (a Address) Wire() string {
	switch {
	case a.plain, strings.Contains(a.text, mconnPart):
		return WireComet
	case a.id == "":
		return ""
	}
	return WireLibp2p
}

// How the component that names the node begins. It is the last one, and no other holds these.
const (
	mconnPart = "/mconn/"
	peerPart  = "/p2p/"
)

const hexDigits = "0123456789abcdef"

// where returns the text without the node component.
func (a Address) where() string {
	if a.plain {
		var room [mostText]byte
		return string(a.packed.where(&room))
	}
	where, _, _ := strings.Cut(a.text, mconnPart)
	where, _, _ = strings.Cut(where, peerPart)
	return where
}

// PeerID returns the libp2p peer id that the address names, in base58; "" when it names none (or a node id of 40 hex
// digits).
func (a Address) PeerID() string {
	_, peer, _ := strings.Cut(a.text, peerPart)
	return peer
}

// Multiaddr returns what a transport dials: the address without the node component; nil for the zero Address.
func (a Address) Multiaddr() ma.Multiaddr {
	if a.IsZero() {
		return nil
	}
	m, err := ma.NewMultiaddr(a.where())
	if err != nil { // go-multiaddr reads every canonical text: FuzzParseAddress checks it
		return nil
	}
	return m
}

// split returns the first component of an address that is not plain, and its value: "dns", "example.org", and what
// follows.
func (a Address) split() (kind, value, rest string) {
	if a.text == "" {
		return "", "", ""
	}
	kind, rest, _ = strings.Cut(a.text[1:], "/")
	value, rest, _ = strings.Cut(rest, "/")
	return kind, value, rest
}

// Host returns the IP address or host name; for a memory or Tor address the value of its first component.
func (a Address) Host() string {
	if a.plain {
		return a.packed.ip().String()
	}
	_, host, _ := a.split()
	return host
}

// Port returns the TCP or UDP port; 0 where the address has none.
func (a Address) Port() int {
	if a.plain {
		return int(a.packed.Port)
	}
	kind, _, rest := a.split()
	switch kind {
	case "ip4", "ip6", "dns", "dns4", "dns6":
		_, rest, _ = strings.Cut(rest, "/") // tcp or udp
		digits, _, _ := strings.Cut(rest, "/")
		port, _ := strconv.Atoi(digits)
		return port
	}
	return 0
}

// Network is "tcp", "udp", or the name of the first component where the address has neither ("memory", "onion3").
func (a Address) Network() string {
	if a.plain {
		return "tcp"
	}
	kind, _, rest := a.split()
	switch kind {
	case "ip4", "ip6", "dns", "dns4", "dns6":
		network, _, _ := strings.Cut(rest, "/")
		return network
	}
	return kind
}

// IP returns the IP address; false where the address has a name or none.
func (a Address) IP() (netip.Addr, bool) {
	if a.plain {
		return a.packed.ip(), true
	}
	kind, host, _ := a.split()
	if kind != "ip4" && kind != "ip6" {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

// HasName reports whether the address has a host name, which only who dials resolves.
func (a Address) HasName() bool {
	if a.plain {
		return false
	}
	kind, _, _ := a.split()
	return kind == "dns" || kind == "dns4" || kind == "dns6"
}

// WithIP returns the address with an IP that its host name has led to. It reports false for an address without a host
// name.
func (a Address) WithIP(ip netip.Addr) (Address, bool) {
	if !ip.IsValid() || !a.HasName() {
		return Address{}, false
	}
	_, _, rest := a.split()
	kind := "ip4"
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		kind = "ip6"
	}
	at, err := ParseAddress("/" + kind + "/" + ip.String() + "/" + rest)
	return at, err == nil
}

// CometString returns the address as CometBFT writes it, id@host:port (host:port when the node is open): "" where
// it is not plain TCP or asks for another wire.
func (a Address) CometString() string {
	if a.plain {
		return string(a.ID()) + "@" + netip.AddrPortFrom(a.packed.ip(), a.packed.Port).String()
	}
	wire := a.Wire()
	kind, host, rest := a.split()
	if wire == WireLibp2p || a.Network() != "tcp" {
		return ""
	}
	rest = rest[len("tcp/"):]
	if wire == WireComet {
		rest = rest[:len(rest)-len(mconnPart)-2*NodeIDSize]
	}
	if strings.Contains(rest, "/") { // tls, ws, ...
		return ""
	}
	if kind == "ip6" {
		host = "[" + host + "]"
	}
	if a.id == "" {
		return host + ":" + rest
	}
	return string(a.id) + "@" + host + ":" + rest
}

// MarshalText writes the canonical text.
func (a Address) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// AppendText appends the canonical text.
func (a Address) AppendText(dst []byte) ([]byte, error) {
	if a.plain {
		var room [mostText]byte
		return append(dst, a.packed.text(&room)...), nil
	}
	return append(dst, a.text...), nil
}

// UnmarshalText reads what ParseAddress reads; an empty text is the zero Address.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	var err error
	*a, err = ParseAddress(string(text))
	return err
}
