package host

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	nameLife    = 10 * time.Minute // after which our own names are resolved again
	nameRetry   = time.Minute      // after a failure
	nameTimeout = 10 * time.Second
)

// names holds the IPs of the host names in Config.External: remotes do not resolve a name that somebody tells them.
type names struct {
	mu  sync.Mutex
	ips map[string][]netip.Addr
}

// run keeps the IPs of our own names. What a name server that is away has told before stays.
func (n *names) run(ctx context.Context, external []ma.Multiaddr, resolver transport.Resolver) {
	own := map[string]bool{}
	for _, m := range external {
		if name := nameIn(m); name != "" {
			own[name] = true
		}
	}
	for len(own) > 0 {
		wait := nameLife
		for _, name := range slices.Sorted(maps.Keys(own)) {
			look, cancel := context.WithTimeout(ctx, nameTimeout)
			ips, err := transport.Resolve(look, resolver, "ip", name)
			cancel()
			if err != nil {
				wait = nameRetry
				continue
			}
			n.mu.Lock()
			if n.ips == nil {
				n.ips = map[string][]netip.Addr{}
			}
			n.ips[name] = ips
			n.mu.Unlock()
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// advertised returns External, in which the known IPs of a name precede it, or, without it, what was learned at run
// time (Reach) and the bound addresses.
func (h *Host) advertised() (out []ma.Multiaddr) {
	if len(h.cfg.External) == 0 {
		out = h.ListenAddrs()
		if extra := h.Reach.extra.Load(); extra != nil {
			out = append(slices.Clone(*extra), out...)
		}
		return out
	}
	h.names.mu.Lock()
	defer h.names.mu.Unlock()
	for _, m := range h.cfg.External {
		for _, ip := range h.names.ips[nameIn(m)] {
			_, err4 := m.ValueForProtocol(ma.P_DNS4)
			_, err6 := m.ValueForProtocol(ma.P_DNS6)
			if err4 == nil && !ip.Is4() || err6 == nil && ip.Is4() {
				continue
			}
			out = append(out, withIP(m, ip))
		}
		out = append(out, m)
	}
	return out
}

// withIP returns a multiaddr with an IP in place of its first component.
func withIP(m ma.Multiaddr, ip netip.Addr) ma.Multiaddr {
	first, err := manet.FromIP(ip.AsSlice())
	if err != nil {
		return m
	}
	_, rest := ma.SplitFirst(m)
	return first.Encapsulate(rest)
}

// reaches orders addresses of ours by what a remote can do with them: first those that it reaches in the family that it
// speaks, then names, then other families, and in the end those of a narrower scope than its own.
func reaches(m ma.Multiaddr, remote netip.Addr) int {
	ip, ok := transport.MultiaddrIP(m)
	remote = remote.Unmap()
	switch {
	case !ok:
		return 1
	case !remote.IsValid():
		return 0
	case scope(ip) < scope(remote):
		return 3
	case ip.Unmap().Is4() != remote.Is4():
		return 2
	case scope(ip) > scope(remote): // it may have to leave its network for that
		return 1
	}
	return 0
}

// scope is how far away an IP can be reached.
func scope(ip netip.Addr) int {
	switch {
	case ip.IsLoopback():
		return 0
	case transport.IsPublicIP(ip):
		return 2
	}
	return 1
}
