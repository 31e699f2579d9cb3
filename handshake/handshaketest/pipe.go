// Package handshaketest helps to test wires, and what uses them: connections in memory that need no transport.
package handshaketest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Conn is one end of a connection in memory. Unlike net.Pipe it buffers writes, without bound, as both ends of a
// handshake write before they read. Deadlines of reads work, also under testing/synctest; writes never wait.
type Conn struct {
	local, remote ma.Multiaddr
	in, out       *half
}

var _ transport.ByteConn = (*Conn)(nil)

// Pipe returns both ends of a connection between two addresses, such as /ip4/10.0.0.1/tcp/26656.
func Pipe(dialer, listener string) (*Conn, *Conn) {
	d, l := ma.StringCast(dialer), ma.StringCast(listener)
	x, y := newHalf(), newHalf()
	return &Conn{d, l, x, y}, &Conn{l, d, y, x}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions. The other end reads what was written before, then io.EOF.
func (c *Conn) Close() error {
	c.in.end(net.ErrClosed)
	c.out.end(io.EOF)
	return nil
}

// CloseWrite ends our direction only.
func (c *Conn) CloseWrite() error {
	c.out.end(io.EOF)
	return nil
}

// IsClosed reports whether this end was closed.
func (c *Conn) IsClosed() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.err == net.ErrClosed
}

// Reads returns how many calls of Read were made on this end.
func (c *Conn) Reads() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.reads
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn; it does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// LocalMultiaddr implements transport.Conn.
func (c *Conn) LocalMultiaddr() ma.Multiaddr { return c.local }

// RemoteMultiaddr implements transport.Conn.
func (c *Conn) RemoteMultiaddr() ma.Multiaddr { return c.remote }

// RemoteIP implements transport.Conn.
func (c *Conn) RemoteIP() netip.Addr {
	ip, _ := transport.MultiaddrIP(c.remote)
	return ip
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return netAddr(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return netAddr(c.remote) }

func netAddr(m ma.Multiaddr) net.Addr {
	a, err := manet.ToNetAddr(m)
	if err != nil {
		return &net.UnixAddr{Name: m.String(), Net: "memory"}
	}
	return a
}

// half is one direction.
type half struct {
	mu      sync.Mutex
	changed sync.Cond // something below was
	data    []byte
	reads   int
	err     error // what a read returns when no data is left; net.ErrClosed at once
	timer   *time.Timer
	late    bool // the deadline has passed
}

func newHalf() *half {
	h := &half{}
	h.changed.L = &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	for len(h.data) == 0 && h.err == nil && !h.late {
		h.changed.Wait()
	}
	switch {
	case h.err == net.ErrClosed:
		return 0, net.ErrClosed
	case h.late:
		return 0, os.ErrDeadlineExceeded
	case len(h.data) > 0:
		n := copy(p, h.data)
		h.data = h.data[n:]
		return n, nil
	}
	return 0, h.err
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0, io.ErrClosedPipe
	}
	h.data = append(h.data, p...)
	h.changed.Broadcast()
	return len(p), nil
}

// end ends the direction. That the reader closed it counts for more than that the writer did.
func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || err == net.ErrClosed {
		h.err = err
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	h.changed.Broadcast()
}

func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.late = false
	if t.IsZero() || h.err == net.ErrClosed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.timer == timer { // not replaced meanwhile
			h.late = true
			h.changed.Broadcast()
		}
	})
	h.timer = timer
}
