package tcp

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Conn is a TCP connection (a transport.ByteConn). TCP_NODELAY is set: writers batch their writes. The embedded
// *net.TCPConn gives CloseWrite, SyscallConn and vectored writes (net.Buffers).
type Conn struct {
	*net.TCPConn
	local, remote atomic.Pointer[ma.Multiaddr] // made when first asked for
	proxied       bool                         // TCPConn leads to a proxy
	ip            netip.Addr                   // of the remote behind it, where that is known
}

var _ transport.ByteConn = (*Conn)(nil)

func newConn(c *net.TCPConn) *Conn { return &Conn{TCPConn: c} }

// known stores m, the multiaddr of the address at, for one end if that end has this address.
func known(p *atomic.Pointer[ma.Multiaddr], end net.Addr, at netip.AddrPort, m *ma.Multiaddr) {
	if transport.AddrPortOf(end) == at {
		p.Store(m)
	}
}

// RemoteIP returns the remote's IP address, IPv4-mapped ones as IPv4; behind a proxy the dialed one, not valid for a
// name. It does not allocate.
func (c *Conn) RemoteIP() netip.Addr {
	if c.proxied {
		return c.ip
	}
	return transport.AddrPortOf(c.RemoteAddr()).Addr()
}

// LocalMultiaddr returns our end.
func (c *Conn) LocalMultiaddr() ma.Multiaddr { return once(&c.local, c.LocalAddr()) }

// RemoteMultiaddr returns the remote's end; behind a proxy the address that was dialed.
func (c *Conn) RemoteMultiaddr() ma.Multiaddr { return once(&c.remote, c.RemoteAddr()) }

func once(p *atomic.Pointer[ma.Multiaddr], a net.Addr) ma.Multiaddr {
	if m := p.Load(); m != nil {
		return *m
	}
	m := transport.TCPMultiaddr(transport.AddrPortOf(a))
	p.Store(&m)
	return m
}

// Close closes the connection; further calls do nothing.
func (c *Conn) Close() error {
	if err := c.TCPConn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
