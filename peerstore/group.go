package peerstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Group is a network group: one owner easily holds many addresses of it. Groups are compared with ==; the zero Group is
// none.
//
//	public IPv4        its /16, or its autonomous system where a map names one
//	public IPv6        its /32, or its autonomous system; if it embeds an IPv4 (6to4, NAT64, Teredo), that one's group
//	private IP         the IP (IPv6: its /64), as addresses of one private network often share a /16
//	loopback           the IP and the port
//	onion, garlic      one of 16 by the first bits of the name, as names cost nothing
//	host name          the registered part (example.co.uk of a.b.example.co.uk)
//	memory             the number
type Group struct {
	kind  groupKind
	value uint64
}

type groupKind uint8

const (
	noGroup groupKind = iota
	ip4Group
	ip6Group
	asGroup
	localGroup
	hiddenGroup
	nameGroup
	memoryGroup
	nodeGroup // a source with only a node id
	kindGroup // a source with only a kind
)

// IsZero reports whether g is no group.
func (g Group) IsZero() bool { return g == Group{} }

// AppendTo appends the group in a fixed size, for hashing.
func (g Group) AppendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(g.kind)), g.value)
}

// String returns a text for logs and tables. It shows a short hash of a name.
func (g Group) String() string {
	v := g.value
	switch g.kind {
	case noGroup:
		return "none"
	case ip4Group:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 8), byte(v)}), 16).String()
	case ip6Group:
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}),
			32).String()
	case asGroup:
		return fmt.Sprintf("AS%d", v)
	case memoryGroup:
		return fmt.Sprintf("memory/%d", v)
	case hiddenGroup:
		return fmt.Sprintf("hidden/%x", v)
	case localGroup:
		return fmt.Sprintf("local/%x", v)
	case nodeGroup:
		return fmt.Sprintf("node/%x", v)
	case kindGroup:
		return fmt.Sprintf("source/%x", v)
	}
	return fmt.Sprintf("name/%x", v)
}

// Groups maps addresses to network groups. It is immutable. A nil *Groups knows no autonomous systems.
type Groups struct{ systems *systems }

// Of returns the group of an address.
func (g *Groups) Of(a transport.Address) Group {
	if ip, ok := a.IP(); ok {
		return g.ofIP(ip, a.Port())
	}
	if a.IsZero() {
		return Group{}
	}
	host := a.Host()
	switch network := a.Network(); network {
	case "memory":
		return Group{memoryGroup, hash64("", host)}
	case "onion", "onion3", "garlic32", "garlic64":
		return Group{hiddenGroup, uint64(base32Bits(host))}
	}
	return Group{nameGroup, hash64("name", registered(host))}
}

// OfIP returns the group of an IP; none for the zero Addr.
func (g *Groups) OfIP(ip netip.Addr) Group { return g.ofIP(ip, 0) }

func (g *Groups) ofIP(ip netip.Addr, port int) Group {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid():
		return Group{}
	case ip.IsLoopback() || ip.IsUnspecified():
		raw := ip.As16()
		return Group{localGroup,
			1<<48 | uint64(raw[12])<<49 | uint64(raw[13])<<40 | uint64(raw[14])<<32 | uint64(raw[15])<<24 |
				uint64(port)}
	case ip.Is4():
		return g.of4(ip)
	}
	raw := ip.As16()
	if ip.IsPrivate() || ip.IsLinkLocalUnicast() {
		return Group{localGroup, binary.BigEndian.Uint64(raw[:8])} // begins with f, so that it is not one of the others
	}
	if inner, ok := embedded(raw); ok {
		return g.of4(inner)
	}
	if g != nil {
		if as, ok := g.systems.find(ip); ok {
			return Group{asGroup, uint64(as)}
		}
	}
	return Group{ip6Group, uint64(binary.BigEndian.Uint32(raw[:4]))}
}

func (g *Groups) of4(ip netip.Addr) Group {
	raw := ip.As4()
	v := uint64(binary.BigEndian.Uint32(raw[:]))
	if ip.IsPrivate() || ip.IsLinkLocalUnicast() || v>>22 == 100<<2|1 { // 100.64.0.0/10, RFC 6598
		return Group{localGroup, v}
	}
	if g != nil {
		if as, ok := g.systems.find(ip); ok {
			return Group{asGroup, uint64(as)}
		}
	}
	return Group{ip4Group, v >> 16}
}

// embedded returns the IPv4 address that an IPv6 address leads to: NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC
// 4380). The owner of the IPv4 address has them all.
func embedded(raw [16]byte) (netip.Addr, bool) {
	switch {
	case [12]byte(raw[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return netip.AddrFrom4([4]byte(raw[12:])), true
	case raw[0] == 0x20 && raw[1] == 0x02:
		return netip.AddrFrom4([4]byte(raw[2:6])), true
	case [4]byte(raw[:4]) == [4]byte{0x20, 0x01}:
		return netip.AddrFrom4([4]byte{^raw[12], ^raw[13], ^raw[14], ^raw[15]}), true
	}
	return netip.Addr{}, false
}

// base32Bits returns the first 4 bits of a base32 name.
func base32Bits(name string) byte {
	if name == "" {
		return 0
	}
	switch c := name[0] | 0x20; {
	case 'a' <= c && c <= 'z':
		return (c - 'a') >> 1
	case '2' <= name[0] && name[0] <= '7':
		return (name[0] - '2' + 26) >> 1
	}
	return 0
}

// registered returns the registered part of a host name: one label below a public suffix. A suffix that a private owner
// runs does not count as public, as names below it cost nothing.
func registered(host string) string {
	suffix, official := publicsuffix.PublicSuffix(host)
	for !official {
		_, parent, ok := strings.Cut(suffix, ".")
		if !ok {
			break
		}
		suffix, official = publicsuffix.PublicSuffix(parent)
	}
	if len(suffix) >= len(host) {
		return host
	}
	rest := host[:len(host)-len(suffix)-1]
	return host[strings.LastIndexByte(rest, '.')+1:]
}

// hash64 returns the same in every process. Nobody can choose names that collide.
func hash64(kind, name string) uint64 {
	sum := sha256.Sum256([]byte(kind + "/" + name))
	return binary.BigEndian.Uint64(sum[:])
}

// OfSource returns the group of a source: of the IP that it was linked from, else (and on loopback) of its node id,
// else of its kind.
func (g *Groups) OfSource(s Source) Group {
	switch {
	case s.IP.IsValid() && (s.From == "" || !s.IP.Unmap().IsLoopback()):
		// a local network of many nodes has one loopback IP
		return g.OfIP(s.IP)
	case s.From != "":
		return Group{nodeGroup, hash64("node", string(s.From))}
	}
	return Group{kindGroup, hash64("kind", s.Kind)}
}
