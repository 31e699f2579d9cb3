package pex

import (
	"net/netip"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// maxPerID and maxPerIP bound how many addresses of one answer name one node or one routable IP, so that an answer
// cannot direct us at a victim.
const (
	maxPerID = 6 // over two wires and two transports, and IPs of both versions
	maxPerIP = 8
)

// place is where a peer is. It decides which addresses make sense between us.
type place struct {
	public     bool // on the internet: private addresses are meaningless to it and none of its business
	multiaddrs bool // it reads multiaddrs, not only CometBFT's IP addresses and TCP ports
	memory     bool // in this process
	away       bool // on another machine, for sure: our own loopback addresses are meaningless to it
}

// fits reports whether an address makes sense between us and a peer at p.
func (p place) fits(a transport.Address) bool {
	switch ip, isIP := a.IP(); {
	case isIP:
		return isDialable(ip) && a.Port() != 0 && !(p.public && (a.IsPrivate() || a.IsLoopback()))
	case a.Network() == "memory":
		return p.memory
	}
	return false // a name: we resolve none for a remote
}

// filter returns the addresses of an answer that a peer could have, in order, and counts the faulty ones. A host name
// is as wrong as it is to CometBFT, but costs its sender only that address.
func filter(in []*pexpb.PexAddress, self transport.NodeID, from place) (out []transport.Address, refused int) {
	perID := make(map[transport.NodeID]int)
	perIP := make(map[netip.Addr]int)
	for _, w := range in {
		a, ok := fromWire(w)
		if ok && a.ID() == self { // CometBFT sends us our own address, too: no fault
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

// fromWire parses one address.
func fromWire(w *pexpb.PexAddress) (transport.Address, bool) {
	return discovery.ParseReported(w.GetMultiaddr(), w.GetId(), w.GetIp(), w.GetPort())
}

// toWire encodes an address for a peer at to, and reports whether that peer can read it.
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

// isDialable reports whether a node can have that IP.
func isDialable(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && !notDialable[0].Contains(ip) &&
		!notDialable[1].Contains(ip)
}

var notDialable = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),   // "this network", RFC 791
	netip.MustParsePrefix("240.0.0.0/4"), // reserved, and broadcast, RFC 1112
}
