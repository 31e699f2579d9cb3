package tcp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Conn is a TCP connection (a transport.ByteConn). TCP_NODELAY is set: writers batch their writes. The embedded
// *net.TCPConn gives CloseWrite, SyscallConn and vectored writes (net.Buffers).
type Conn struct {
	*net.TCPConn
	local, remote atomic.Pointer[ma.Multiaddr] // made when first asked for

	writing sync.Mutex // held while something is written
	now     *now       // made when first needed
}

var (
	_ transport.ByteConn   = (*Conn)(nil)
	_ transport.PromptConn = (*Conn)(nil)
)

func newConn(c *net.TCPConn) *Conn { return &Conn{TCPConn: c} }

// known stores m, which is that of the address at, as the multiaddr of one end if that end is there.
func known(p *atomic.Pointer[ma.Multiaddr], end net.Addr, at netip.AddrPort, m *ma.Multiaddr) {
	if transport.AddrPortOf(end) == at {
		p.Store(m)
	}
}

// RemoteIP returns the remote's IP address, IPv4-mapped ones as IPv4. It does not allocate.
func (c *Conn) RemoteIP() netip.Addr { return transport.AddrPortOf(c.RemoteAddr()).Addr() }

// LocalMultiaddr returns our end.
func (c *Conn) LocalMultiaddr() ma.Multiaddr { return once(&c.local, c.LocalAddr()) }

// RemoteMultiaddr returns the remote's end.
func (c *Conn) RemoteMultiaddr() ma.Multiaddr { return once(&c.remote, c.RemoteAddr()) }

func once(p *atomic.Pointer[ma.Multiaddr], a net.Addr) ma.Multiaddr {
	if m := p.Load(); m != nil {
		return *m
	}
	m := transport.TCPMultiaddr(transport.AddrPortOf(a))
	p.Store(&m)
	return m
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.now != nil && c.now.failed != nil {
		return 0, c.now.failed
	}
	return c.TCPConn.Write(p)
}

// Close closes the connection; further calls do nothing.
func (c *Conn) Close() error {
	err := c.TCPConn.Close()
	c.writing.Lock() // a write that waits has ended, and so has what goes on in its place
	defer c.writing.Unlock()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
