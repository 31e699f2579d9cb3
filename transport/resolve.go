package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// MaxResolved bounds how many IP addresses of one host name are used: a name with thousands of records must not make a
// node dial them all. The first ones of the answer are kept.
const MaxResolved = 16

// Resolver finds the IP addresses of a host name. network is "ip", "ip4" or "ip6". *net.Resolver is one; tests bring
// their own. It may be called concurrently.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Resolve finds at most MaxResolved distinct IP addresses of a host name, in the resolver's order, IPv4-mapped ones as
// IPv4. A nil resolver means net.DefaultResolver. Only dialing resolves names. The error names the host; no address at
// all is an error.
func Resolve(ctx context.Context, r Resolver, network, host string) ([]netip.Addr, error) {
	if r == nil {
		r = net.DefaultResolver
	}
	found, err := r.LookupNetIP(ctx, network, host)
	if err != nil {
		return nil, fmt.Errorf("resolve %.80q: %w", host, err)
	}
	ips := make([]netip.Addr, 0, min(len(found), MaxResolved))
next:
	for _, ip := range found {
		ip = ip.Unmap().WithZone("")
		if !ip.IsValid() || network == "ip4" && !ip.Is4() || network == "ip6" && !ip.Is6() {
			continue
		}
		for _, have := range ips {
			if have == ip {
				continue next
			}
		}
		if ips = append(ips, ip); len(ips) == MaxResolved {
			break
		}
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("resolve %.80q: no %s address", host, network)
	}
	return ips, nil
}
