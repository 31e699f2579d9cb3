package quic

import (
	"net"
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

func parse(m ma.Multiaddr) (transport.Target, bool) {
	return transport.ParseTarget(m, ma.P_UDP, ma.P_QUIC_V1)
}

// multiaddr is /ip4|ip6/IP/udp/PORT/quic-v1; nil when a is not an address of UDP.
func multiaddr(a net.Addr) ma.Multiaddr { return transport.QUICMultiaddr(transport.AddrPortOf(a)) }

// localAddr is local, with the IP from which packets go to remote if local has none. It sends nothing.
func localAddr(local, remote net.Addr) net.Addr {
	at, to := transport.AddrPortOf(local), transport.AddrPortOf(remote)
	if !at.Addr().IsUnspecified() || !to.IsValid() {
		return local
	}
	probe, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return local
	}
	defer probe.Close()
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(transport.AddrPortOf(probe.LocalAddr()).Addr(), at.Port()))
}
