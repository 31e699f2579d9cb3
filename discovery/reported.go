package discovery

import (
	"net/netip"

	"github.com/switchyard-p2p/switchyard/transport"
)

// ParseReported returns the address in an entry of a peer exchange answer: a multiaddr or, if that is empty, a node id,
// an IP and a port (CometBFT's pex.proto). It resolves nothing. It returns false if the entry is no address that names
// a node.
func ParseReported(multiaddr, id, ip string, port uint32) (transport.Address, bool) {
	if multiaddr != "" {
		a, err := transport.ParseAddress(multiaddr)
		return a, err == nil && a.ID() != ""
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" || port > 65535 || len(id) != 2*transport.NodeIDSize {
		return transport.Address{}, false
	}
	a, err := transport.CometAddress(transport.NodeID(id), addr.Unmap().String(), uint16(port))
	return a, err == nil && a.ID().IsEd25519()
}
