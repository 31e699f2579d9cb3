package host

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// maxClaims is how many addresses of one peer's claim are kept: two IPs, over two wires and two transports.
const maxClaims = 8

// learn remembers where a peer says that it can be dialed, over which wires, so that it can be found again and
// advertised. It is a claim until a dial has proved it. Of a peer that we dialed over comet we know all that it could
// say. Guests are not our network's business.
func (h *Host) learn(l *link) {
	remote := l.remote.Load()
	if remote.Guest || !l.inbound() && l.shake.Confirm == nil {
		return
	}
	wires := remote.Wires
	if len(wires) == 0 {
		wires = []string{l.shake.Wire}
	}
	source := peerstore.Source{Kind: "peer", From: l.peer}
	if l.inbound() {
		source.Kind = "inbound"
	}
	left := maxClaims
	for _, text := range remote.Listen {
		where, ok := l.claimed(text)
		if !ok {
			continue
		}
		for _, wire := range [...]string{transport.WireComet, transport.WireLibp2p} {
			if !slices.Contains(wires, wire) {
				continue
			}
			node := string(l.peer)
			if wire == transport.WireLibp2p {
				node = l.peerID()
			}
			a, err := where.WithNode(node)
			if err != nil { // that wire does not go there
				continue
			}
			if left--; left < 0 {
				return
			}
			h.peers.Add(a, source)
		}
	}
}

// claimed reads one listen address of a remote: host:port, with or without a scheme (CometBFT's form), or a multiaddr.
// A node that listens everywhere says 0.0.0.0 and means the IP that it came from. Names are not resolved and not kept:
// they would be looked up on the remote's behalf. Nor are addresses that have no meaning where we are: private ones of
// a remote that came from the open network.
func (l *link) claimed(text string) (transport.Address, bool) {
	if !strings.HasPrefix(text, "/") {
		if _, after, ok := strings.Cut(text, "://"); ok {
			text = after
		}
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return transport.Address{}, false
		}
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return transport.Address{}, false
		}
		if ip.IsUnspecified() {
			ip = l.ip
		}
		kind := "ip4"
		if ip = ip.Unmap(); !ip.Is4() {
			kind = "ip6"
		}
		text = "/" + kind + "/" + ip.String() + "/tcp/" + port
	}
	a := l.shake.Dialed // usually it is the one that a remote claims, and read already
	var err error
	if !a.At(text) {
		a, err = transport.ParseAddress(text)
	}
	if err != nil || a.ID() != "" && a.ID() != l.peer {
		return transport.Address{}, false
	}
	ip, ok := a.IP()
	from := l.ip.Unmap()
	foreign := from.IsValid() && !from.IsPrivate() && !from.IsLoopback() && !from.IsLinkLocalUnicast() &&
		(a.IsPrivate() || a.IsLoopback())
	return a, ok && !ip.IsUnspecified() && !ip.IsMulticast() && !foreign
}
