package transport

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// Target is a multiaddr of a transport over IP in parts: a host, and a port of TCP or UDP.
type Target struct {
	Network string // "ip", "ip4" or "ip6": what Host may be resolved to; "" when IP is known
	Host    string // a host name; "" when IP is known
	IP      netip.Addr
	Port    uint16
}

// ParseTarget reads /ip4|ip6|dns|dns4|dns6/HOST, then protocols of exactly these codes, the first of which has the
// port; false when m is another. IPv4-mapped addresses become IPv4.
func ParseTarget(m ma.Multiaddr, codes ...int) (Target, bool) {
	if len(m) != 1+len(codes) {
		return Target{}, false
	}
	for i, code := range codes {
		if m[1+i].Code() != code {
			return Target{}, false
		}
	}
	var t Target
	switch m[0].Code() {
	case ma.P_IP4, ma.P_IP6:
		ip, ok := netip.AddrFromSlice(m[0].RawValue())
		if !ok {
			return Target{}, false
		}
		t.IP = ip.Unmap()
	case ma.P_DNS:
		t.Network, t.Host = "ip", m[0].Value()
	case ma.P_DNS4:
		t.Network, t.Host = "ip4", m[0].Value()
	case ma.P_DNS6:
		t.Network, t.Host = "ip6", m[0].Value()
	default:
		return Target{}, false
	}
	port, err := strconv.ParseUint(m[1].Value(), 10, 16)
	t.Port = uint16(port)
	return t, err == nil
}

// AddrPort returns the IP and port; not valid where the host has a name.
func (t Target) AddrPort() netip.AddrPort { return netip.AddrPortFrom(t.IP, t.Port) }

// DialTarget dials the target. The IP addresses of a host name are tried one after the other, IPv6 and IPv4 in turn;
// the next one starts when one fails, or after stagger in parallel (RFC 8305). IPs that the context's check refuses
// (see WithIPCheck) are left out. It returns after every attempt has ended. A nil resolver means net.DefaultResolver.
// Of several failures the error names each with its IP.
func DialTarget[C io.Closer](ctx context.Context, t Target, r Resolver, stagger time.Duration,
	dial func(context.Context, netip.AddrPort) (C, error)) (C, error) {
	var none C
	ips := []netip.Addr{t.IP}
	if t.Host != "" {
		var err error
		if ips, err = Resolve(ctx, r, t.Network, t.Host); err != nil {
			return none, err
		}
	}
	var refused error
	ips = slices.DeleteFunc(ips, func(ip netip.Addr) bool {
		err := CheckIP(ctx, ip)
		if err != nil {
			refused = err
		}
		return err != nil
	})
	switch len(ips) {
	case 0:
		return none, refused
	case 1:
		return dial(ctx, netip.AddrPortFrom(ips[0], t.Port))
	}
	return race(ctx, stagger, alternate(ips), func(ctx context.Context, ip netip.Addr) (C, error) {
		return dial(ctx, netip.AddrPortFrom(ip, t.Port))
	})
}
