package transport

import (
	"net/netip"
	"slices"
	"strings"
)

// IsLoopback reports whether the address leads to this machine: a loopback or unspecified IP, localhost, or a memory
// address.
func (a Address) IsLoopback() bool {
	if ip, ok := a.IP(); ok {
		return ip.IsLoopback() || ip.IsUnspecified()
	}
	kind, host, _ := a.split()
	return kind == "memory" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// IsPrivate reports whether the address has a meaning only within one network: private, shared and link-local IP
// ranges, and names below .local, .internal, .lan and home.arpa.
func (a Address) IsPrivate() bool {
	if ip, ok := a.IP(); ok {
		return isPrivateIP(ip)
	}
	_, host, _ := a.split()
	for _, suffix := range [...]string{".local", ".internal", ".lan", ".home.arpa"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// IsRoutable reports whether the address may be reached from anywhere: a public unicast IP, a public host name, a Tor
// or I2P address. A name may of course still resolve to a private IP.
func (a Address) IsRoutable() bool {
	if a.IsZero() {
		return false
	}
	if ip, ok := a.IP(); ok {
		return IsPublicIP(ip)
	}
	return !a.IsLoopback() && !a.IsPrivate()
}

func isPrivateIP(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLinkLocalUnicast() || sharedSpace.Contains(ip)
}

// sharedSpace is the range of customers behind carrier-grade NAT (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// In these ranges no host on the Internet answers (the IANA registries of special addresses, RFC 6890). netip knows of
// others.
var special4 = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
}

var special6 = []netip.Prefix{ // within global6
	netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("2002::/16"),     // 6to4
	netip.MustParsePrefix("3fff::/20"),     // documentation
}

// global6 is what IANA gives out as global unicast, all of IPv6 that is routed.
var global6 = netip.MustParsePrefix("2000::/3")

// nat64 holds IPv4 addresses, as hosts without IPv4 reach them (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// IsPublicIP reports whether an IP may be reached from anywhere: a unicast address outside of the private and special
// ranges, or a NAT64 address of such an IPv4 one.
func IsPublicIP(ip netip.Addr) bool {
	ip = ip.Unmap()
	special := special4
	if ip.Is6() {
		if nat64.Contains(ip) {
			raw := ip.As16()
			return IsPublicIP(netip.AddrFrom4([4]byte(raw[12:])))
		}
		if !global6.Contains(ip) {
			return false
		}
		special = special6
	}
	return ip.IsGlobalUnicast() && !isPrivateIP(ip) &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Group returns the network group of the address, by which peers are spread: the /16 of an IPv4, the /32 of an IPv6,
// the host name or other host elsewhere. The holder of one address of a group can often get many.
func (a Address) Group() string {
	if ip, ok := a.IP(); ok {
		return IPGroup(ip).String()
	}
	kind, host, _ := a.split()
	if kind == "dns4" || kind == "dns6" || kind == "dnsaddr" {
		kind = "dns"
	}
	return kind + "/" + host
}

// IPGroup returns the network group of an IP: its /16 (IPv4) or /32 (IPv6).
func IPGroup(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 32
	if ip.Is4() {
		bits = 16
	}
	p, err := ip.Prefix(bits)
	if err != nil { // the zero Addr
		return netip.Prefix{}
	}
	return p
}
