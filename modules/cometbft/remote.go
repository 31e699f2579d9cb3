package cometbft

import (
	"net"
	"strconv"

	"github.com/cometbft/cometbft/p2p"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// nodeInfo returns what a peer says of itself in CometBFT's form. A guest (CometBFT in libp2p mode) says neither
// network nor versions: it gets ours, as its messages will have to fit.
func nodeInfo(in *host.PeerInfo, ours p2p.DefaultNodeInfo) p2p.DefaultNodeInfo {
	r := &in.Remote
	out := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.ProtocolVersion{P2P: r.P2PVersion, Block: r.BlockVersion, App: r.AppVersion},
		DefaultNodeID:   p2p.ID(in.ID),
		ListenAddr:      listenAddr(in),
		Network:         in.Network,
		Version:         in.Version,
		Channels:        r.Channels,
		Moniker:         in.Moniker,
		Other:           p2p.DefaultNodeInfoOther{TxIndex: r.TxIndex, RPCAddress: r.RPCAddress},
	}
	if in.Guest {
		out.ProtocolVersion, out.Network, out.Channels = ours.ProtocolVersion, ours.Network, in.Channels
	}
	return out
}

// listenAddr returns the first address at which a peer says it listens, as host:port. Nodes over libp2p say multiaddrs.
func listenAddr(in *host.PeerInfo) string {
	for _, said := range in.Listen {
		m, err := ma.NewMultiaddr(said)
		if err != nil {
			return said
		}
		if name, port, ok := dialString(m); ok {
			return net.JoinHostPort(name, port)
		}
	}
	if in.IP.IsValid() { // CometBFT resolves this text, and knows no empty one
		return net.JoinHostPort(in.IP.String(), strconv.Itoa(int(in.Port)))
	}
	return "0.0.0.0:0"
}

// socketOf returns the address of the remote's end of a link.
func socketOf(in *host.PeerInfo) p2p.NetAddress {
	at := p2p.NetAddress{ID: p2p.ID(in.ID), IP: net.IPv4zero, Port: in.Port}
	if in.IP.IsValid() {
		at.IP = in.IP.AsSlice()
	}
	return at
}

// dialString returns the host and the port of a multiaddr.
func dialString(m ma.Multiaddr) (host, port string, ok bool) {
	for _, c := range m {
		switch c.Code() {
		case ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
			host = c.Value()
		case ma.P_TCP, ma.P_UDP:
			return host, c.Value(), host != ""
		}
	}
	return "", "", false
}

// hostPort returns the IP and the port of a multiaddr.
func hostPort(m ma.Multiaddr) (net.IP, uint16, bool) {
	_, text, ok := dialString(m)
	ip, hasIP := transport.MultiaddrIP(m)
	port, err := strconv.ParseUint(text, 10, 16)
	if !ok || !hasIP || err != nil {
		return nil, 0, false
	}
	return ip.AsSlice(), uint16(port), true
}
