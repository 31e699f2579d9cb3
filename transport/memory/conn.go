package memory

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// link is a connection: both its directions and both its ends, in one allocation.
type link struct {
	net    *Network
	hosts  [2]*Transport // who dialed, who accepted
	halves [2]half       // what the dialer writes, what the acceptor writes
	conns  [2]Conn
	open   atomic.Int32 // ends that are not closed
}

func newLink(n *Network, hosts [2]*Transport, at [2]endpoint, there, back Conditions, seed [2]uint64) *link {
	l := &link{net: n, hosts: hosts}
	l.open.Store(2)
	l.halves[0].init(n.cfg.Buffer, there, [2]uint64{seed[0], seed[1]})
	l.halves[1].init(n.cfg.Buffer, back, [2]uint64{seed[0], ^seed[1]})
	for side := range l.conns {
		c := &l.conns[side]
		c.link = l
		c.out, c.in = &l.halves[side], &l.halves[1-side]
		c.local, c.remote = at[side], at[1-side]
	}
	return l
}

// Conn is one end of a connection in memory (a transport.ByteConn). It behaves as a *net.TCPConn does: deadlines,
// half-close, errors (net.ErrClosed, os.ErrDeadlineExceeded, ECONNRESET, EPIPE, in a *net.OpError), concurrent calls;
// unread bytes are lost on Close, and bytes written before Close still arrive.
type Conn struct {
	link          *link
	out, in       *half
	local, remote endpoint
	closed        atomic.Bool

	localMA, remoteMA atomic.Pointer[ma.Multiaddr] // made when first asked for
}

var _ transport.ByteConn = (*Conn)(nil)

// Pipe returns a connection of its own, between two memory addresses. Its ends are the dialing and the accepting one.
func Pipe(c Conditions) (*Conn, *Conn) {
	n := NewNetwork(Config{Conditions: c})
	a, b := n.NewTransport(HostConfig{}), n.NewTransport(HostConfig{})
	n.mu.Lock()
	l := n.linkLocked(a, b, endpoint{number: 1 << 32}, endpoint{number: 1}, n.seedLocked(a, b))
	n.mu.Unlock()
	return &l.conns[0], &l.conns[1]
}

// Read waits for bytes. It returns io.EOF after the remote's Close or CloseWrite.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

// Write waits until the last byte of b is in the buffer. The bytes of one call stay together.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.wrap("write", err)
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "memory", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Close ends both directions at this end. It may be called twice.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.out.closeWrite(net.ErrClosed)
	c.in.closeRead()
	if c.link.open.Add(-1) == 0 {
		c.link.halves[0].stopAlarms()
		c.link.halves[1].stopAlarms()
		c.link.net.forget(c.link)
	}
	return nil
}

// CloseWrite ends what this end writes: the remote reads io.EOF after it. Reading goes on.
func (c *Conn) CloseWrite() error {
	if c.closed.Load() {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.closeWrite(syscall.EPIPE)
	return nil
}

// SetDeadline sets both deadlines; the zero Time means none. Calls that wait obey it, too.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.closed.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline bounds Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.closed.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	c.out.setWriteDeadline(t)
	return nil
}

// LocalAddr returns a *net.TCPAddr where the transport has an IP, else an Addr.
func (c *Conn) LocalAddr() net.Addr { return c.local.netAddr() }

// RemoteAddr is as LocalAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote.netAddr() }

// RemoteIP returns the remote's IP address; the zero Addr when it has none. It does not allocate.
func (c *Conn) RemoteIP() netip.Addr { return c.remote.ip }

// LocalMultiaddr returns our end.
func (c *Conn) LocalMultiaddr() ma.Multiaddr { return once(&c.localMA, c.local) }

// RemoteMultiaddr returns the remote's end.
func (c *Conn) RemoteMultiaddr() ma.Multiaddr { return once(&c.remoteMA, c.remote) }

func once(p *atomic.Pointer[ma.Multiaddr], e endpoint) ma.Multiaddr {
	if m := p.Load(); m != nil {
		return *m
	}
	m := e.multiaddr()
	p.Store(&m)
	return m
}
