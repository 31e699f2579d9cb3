package crawl

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Exclude lists whom a crawl never dials. The zero Exclude lists nobody.
type Exclude struct {
	IDs      map[transport.NodeID]bool
	Networks []netip.Prefix
}

// maxExclude bounds the lines of an exclude file.
const maxExclude = 100_000

// ReadExclude reads node ids, IPs and networks, one a line. What follows a # is a comment.
func ReadExclude(r io.Reader) (Exclude, error) {
	e := Exclude{IDs: make(map[transport.NodeID]bool)}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if n > maxExclude {
			return e, fmt.Errorf("more than %d lines", maxExclude)
		}
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if id, err := transport.ParseNodeID(text); err == nil {
			e.IDs[id] = true
		} else if ip, err := netip.ParseAddr(text); err == nil {
			ip = ip.Unmap()
			e.Networks = append(e.Networks, netip.PrefixFrom(ip, ip.BitLen()))
		} else if p, err := netip.ParsePrefix(text); err == nil {
			e.Networks = append(e.Networks, p.Masked())
		} else {
			return e, fmt.Errorf("line %d: %.80q is neither a node id nor an IP nor a network", n, text)
		}
	}
	return e, lines.Err()
}

// has reports whether the address is excluded.
func (e *Exclude) has(a transport.Address) bool {
	if a.ID() != "" && e.IDs[a.ID()] {
		return true
	}
	ip, ok := a.IP()
	if !ok {
		return false
	}
	for _, p := range e.Networks {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

// scope says which addresses a crawl may dial.
type scope struct {
	private bool // private and loopback addresses, too
	memory  bool
	exclude Exclude
	self    transport.NodeID
	dials   func(transport.Address) bool // one of our transports and wires does
}

// allows reports whether an address may be dialed.
func (s *scope) allows(a transport.Address) bool {
	if s.exclude.has(a) || a.ID() == s.self || !s.dials(a) {
		return false
	}
	ip, ok := a.IP()
	if !ok {
		return a.Network() == "memory" && s.memory
	}
	if a.Port() == 0 || a.CheckDialable() != nil || neverHosts[0].Contains(ip) || neverHosts[1].Contains(ip) {
		return false
	}
	return transport.IsPublicIP(ip) || s.private
}

// In these no host is.
var neverHosts = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),   // "this network", RFC 791
	netip.MustParsePrefix("240.0.0.0/4"), // reserved, and broadcast, RFC 1112
}

// filter returns the addresses of an answer that may be dialed, in order, each once, and counts the others. from is
// where the answer came from: a node on the internet has no private addresses to tell.
func (s *scope) filter(in []*pexpb.PexAddress, from transport.Address) (out []transport.Address, refused int) {
	ip, ok := from.IP()
	public := ok && transport.IsPublicIP(ip)
	seen := make(map[transport.Address]bool, len(in))
	perID := make(map[transport.NodeID]int, len(in))
	for _, w := range in {
		a, ok := fromWire(w)
		if ok && (a.ID() == s.self || seen[a]) {
			continue
		}
		ip, isIP := a.IP()
		if !ok || !s.allows(a) || public && (!isIP || !transport.IsPublicIP(ip)) || perID[a.ID()] >= perSourceSpots {
			refused++
			continue
		}
		seen[a] = true
		perID[a.ID()]++
		out = append(out, a)
	}
	return out, refused
}

// fromWire parses one address.
func fromWire(w *pexpb.PexAddress) (transport.Address, bool) {
	return discovery.ParseReported(w.GetMultiaddr(), w.GetId(), w.GetIp(), w.GetPort())
}
