package memory

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// endpoint is one end of a connection, or where a listener listens.
type endpoint struct {
	ip     netip.Addr // the zero Addr: a memory address
	number uint64     // the TCP port, or the memory number
}

func (e endpoint) multiaddr() ma.Multiaddr {
	if e.ip.IsValid() {
		return transport.TCPMultiaddr(netip.AddrPortFrom(e.ip, uint16(e.number)))
	}
	b := binary.AppendUvarint(make([]byte, 0, 10), ma.P_MEMORY)
	m, err := ma.NewMultiaddrBytes(binary.BigEndian.AppendUint64(b, e.number))
	if err != nil { // cannot be: the bytes are of fixed form
		return nil
	}
	return m
}

func (e endpoint) netAddr() net.Addr {
	if e.ip.IsValid() {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(e.ip, uint16(e.number)))
	}
	return Addr(e.number)
}

// Addr is the net.Addr of a connection's end that has no IP: its memory number.
type Addr uint64

// Network is "memory".
func (a Addr) Network() string { return "memory" }

// String returns the multiaddr.
func (a Addr) String() string { return "/memory/" + strconv.FormatUint(uint64(a), 10) }

// target is what a multiaddr asks for: an endpoint, or a name and the port there.
type target struct {
	endpoint
	name   string
	family int // of the name's IPs: 4, 6, or 0 for any
}

func parse(m ma.Multiaddr) (target, error) {
	wrong := func() (target, error) {
		return target{}, fmt.Errorf("%w: memory wants /memory/NUMBER, or a host and /tcp/PORT",
			transport.ErrNoTransport)
	}
	if len(m) == 1 && m[0].Code() == ma.P_MEMORY {
		return target{endpoint: endpoint{number: binary.BigEndian.Uint64(m[0].RawValue())}}, nil
	}
	if len(m) != 2 || m[1].Code() != ma.P_TCP {
		return wrong()
	}
	t := target{endpoint: endpoint{number: uint64(binary.BigEndian.Uint16(m[1].RawValue()))}}
	switch m[0].Code() {
	case ma.P_IP4, ma.P_IP6:
		ip, _ := netip.AddrFromSlice(m[0].RawValue())
		t.ip = ip.Unmap()
	case ma.P_DNS:
		t.name = m[0].Value()
	case ma.P_DNS4:
		t.name, t.family = m[0].Value(), 4
	case ma.P_DNS6:
		t.name, t.family = m[0].Value(), 6
	default:
		return wrong()
	}
	return t, nil
}
