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

// learn adds the listen addresses of the peer, for each of its wires, to the store, so that it can be dialed again and
// advertised. They are claims until a dial has proven them. A peer that we dialed over comet has nothing to add, and
// guests are not of our network.
func (l *link) learn() {
	remote := l.remote.Load()
	if remote.Guest || !l.inbound && l.shake.Confirm == nil {
		return
	}
	wires := remote.Wires
	if len(wires) == 0 {
		wires = []string{l.shake.Wire}
	}
	source := peerstore.Source{Kind: "peer", From: l.peer}
	if l.inbound {
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
			l.host.peers.Add(a, source)
		}
	}
}

// claimed parses one listen address of a remote: a multiaddr, or host:port with or without a scheme (CometBFT's form).
// 0.0.0.0 stands for the IP that the remote came from. Names are dropped: resolving them would be a look-up on the
// remote's behalf. Private addresses are dropped if the remote came from the open network.
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
	a, err := transport.ParseAddress(text)
	if err != nil || a.ID() != "" && a.ID() != l.peer {
		return transport.Address{}, false
	}
	ip, ok := a.IP()
	from := l.ip.Unmap()
	foreign := from.IsValid() && !from.IsPrivate() && !from.IsLoopback() && !from.IsLinkLocalUnicast() &&
		(a.IsPrivate() || a.IsLoopback())
	return a, ok && !ip.IsUnspecified() && !ip.IsMulticast() && !foreign
}
