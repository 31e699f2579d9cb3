package quic

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// target is a multiaddr in parts.
type target struct {
	network string // "ip", "ip4", "ip6": what host may be resolved to
	host    string // "" when ip is known
	ip      netip.Addr
	port    uint16
}

func parse(m ma.Multiaddr) (target, bool) {
	if len(m) != 3 || m[1].Code() != ma.P_UDP || m[2].Code() != ma.P_QUIC_V1 {
		return target{}, false
	}
	var t target
	switch m[0].Code() {
	case ma.P_IP4, ma.P_IP6:
		ip, ok := netip.AddrFromSlice(m[0].RawValue())
		if !ok {
			return target{}, false
		}
		t.ip = ip.Unmap()
	case ma.P_DNS:
		t.network, t.host = "ip", m[0].Value()
	case ma.P_DNS4:
		t.network, t.host = "ip4", m[0].Value()
	case ma.P_DNS6:
		t.network, t.host = "ip6", m[0].Value()
	default:
		return target{}, false
	}
	port, err := strconv.ParseUint(m[1].Value(), 10, 16)
	t.port = uint16(port)
	return t, err == nil
}

// multiaddr is /ip4|ip6/IP/udp/PORT/quic-v1; nil when a is not an address of UDP. Zones are left out.
func multiaddr(a net.Addr) ma.Multiaddr {
	ap := transport.AddrPortOf(a)
	b := make([]byte, 0, 24)
	switch ip := ap.Addr(); {
	case ip.Is4():
		v := ip.As4()
		b = append(append(b, ma.P_IP4), v[:]...)
	case ip.Is6():
		v := ip.As16()
		b = append(append(b, ma.P_IP6), v[:]...)
	default:
		return nil
	}
	b = binary.AppendUvarint(b, ma.P_UDP)
	b = binary.BigEndian.AppendUint16(b, ap.Port())
	b = binary.AppendUvarint(b, ma.P_QUIC_V1)
	m, err := ma.NewMultiaddrBytes(b)
	if err != nil { // cannot be: the bytes are of fixed form
		return nil
	}
	return m
}

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
