package pex

import (
	"net/netip"

	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// maxPerID and maxPerIP bound how many addresses of one answer may point at one node, or at one routable IP: an answer shall not turn us on a victim.
const (
	maxPerID = 6 // over two wires and two transports, and IPs of both versions
	maxPerIP = 8
)

// place is where a peer is, as far as it decides which addresses make sense between us.
type place struct {
	public     bool // on the open network: it has no use for addresses of private ones, and they are none of its business
	multiaddrs bool // it reads multiaddrs, and not only what CometBFT has: IP addresses and TCP ports of nodes that speak comet
	memory     bool // in this process
}

// fits says whether an address makes sense between us and a peer at that place.
func (p place) fits(a transport.Address) bool {
	switch ip, isIP := a.IP(); {
	case isIP:
		return isDialable(ip) && a.Port() != 0 && !(p.public && (a.IsPrivate() || a.IsLoopback()))
	case a.Network() == "memory":
		return p.memory
	}
	return false // a name: nobody is made to resolve it on another's behalf
}

// sift keeps the addresses of an answer that could be a peer's, in their order, and counts those that are at fault. An answer that holds a host name
// is as wrong to us as to CometBFT, but costs its sender only that address.
func sift(in []*pexpb.PexAddress, self transport.NodeID, from place) (out []transport.Address, refused int) {
	perID := make(map[transport.NodeID]int)
	perIP := make(map[netip.Addr]int)
	for _, w := range in {
		a, ok := fromWire(w)
		if ok && a.ID() == self { // CometBFT tells us our own address too: no fault
			continue
		}
		ip, _ := a.IP()
		if !ok || !from.fits(a) || perID[a.ID()] >= maxPerID || a.IsRoutable() && perIP[ip] >= maxPerIP {
			refused++
			continue
		}
		perID[a.ID()]++
		perIP[ip]++
		out = append(out, a)
	}
	return out, refused
}

// fromWire reads one address. It never resolves anything.
func fromWire(w *pexpb.PexAddress) (transport.Address, bool) {
	if text := w.GetMultiaddr(); text != "" {
		a, err := transport.ParseAddress(text)
		return a, err == nil && a.ID() != ""
	}
	ip, err := netip.ParseAddr(w.GetIp())
	if err != nil || ip.Zone() != "" || w.GetPort() > 65535 || len(w.GetId()) != 2*transport.NodeIDSize {
		return transport.Address{}, false
	}
	a, err := transport.CometAddress(transport.NodeID(w.GetId()), ip.Unmap().String(), uint16(w.GetPort()))
	return a, err == nil && a.ID().IsEd25519()
}

// toWire writes an address for a peer at that place; false where that cannot read it.
func toWire(a transport.Address, to place) (*pexpb.PexAddress, bool) {
	if a.ID() == "" || !to.fits(a) {
		return nil, false
	}
	if ip, ok := a.IP(); ok && a.ID().IsEd25519() && a.CometString() != "" {
		return &pexpb.PexAddress{Id: string(a.ID()), Ip: ip.String(), Port: uint32(a.Port())}, true
	}
	if to.multiaddrs {
		return &pexpb.PexAddress{Multiaddr: a.String()}, true
	}
	return nil, false
}

// isDialable says whether a node can have that IP.
func isDialable(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && !notDialable[0].Contains(ip) && !notDialable[1].Contains(ip)
}

var notDialable = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),   // "this network", RFC 791
	netip.MustParsePrefix("240.0.0.0/4"), // reserved, and broadcast, RFC 1112
}
