package transport

import (
	"encoding/binary"
	"net"
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// MultiaddrIP returns the IP address that m begins with, IPv4-mapped ones as IPv4; false when it begins otherwise.
func MultiaddrIP(m ma.Multiaddr) (netip.Addr, bool) {
	raw, err := manet.ToIP(m)
	if err != nil {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(raw)
	return ip.Unmap(), ok
}

// TCPMultiaddr is /ip4|ip6/IP/tcp/PORT; nil when a is not valid. IPv4-mapped addresses become ip4, zones are left out.
func TCPMultiaddr(a netip.AddrPort) ma.Multiaddr { return portMultiaddr(a, ma.P_TCP) }

// QUICMultiaddr is /ip4|ip6/IP/udp/PORT/quic-v1, as TCPMultiaddr.
func QUICMultiaddr(a netip.AddrPort) ma.Multiaddr { return portMultiaddr(a, ma.P_UDP, ma.P_QUIC_V1) }

// portMultiaddr returns an IP, a port of the protocol, and protocols without a value.
func portMultiaddr(a netip.AddrPort, of int, behind ...int) ma.Multiaddr {
	ip := a.Addr().Unmap()
	b := make([]byte, 0, 24)
	switch {
	case ip.Is4():
		v := ip.As4()
		b = append(append(b, ma.P_IP4), v[:]...)
	case ip.Is6():
		v := ip.As16()
		b = append(append(b, ma.P_IP6), v[:]...)
	default:
		return nil
	}
	b = binary.AppendUvarint(b, uint64(of))
	b = binary.BigEndian.AppendUint16(b, a.Port())
	for _, code := range behind {
		b = binary.AppendUvarint(b, uint64(code))
	}
	m, err := ma.NewMultiaddrBytes(b)
	if err != nil { // cannot be: the bytes are of fixed form
		return nil
	}
	return m
}

// AddrPortOf returns the IP and port of a *net.TCPAddr or *net.UDPAddr, IPv4-mapped ones as IPv4; the zero value for
// other addresses.
func AddrPortOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
