package tls

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Conn is a secured connection. Its methods may be called concurrently.
type Conn struct {
	*tls.Conn
	under  under
	remote handshake.PublicKey
	muxer  string
	ended  atomic.Bool // the remote has hung up
	write  sync.Mutex  // held from the first record of a write to the last
}

var _ handshake.SecureConn = (*Conn)(nil)

// RemotePublicKey returns the key that the remote has proven.
func (c *Conn) RemotePublicKey() handshake.PublicKey { return c.remote }

// Muxer returns the stream muxer that both ends chose in the handshake; "" when it is still to be negotiated.
func (c *Conn) Muxer() string { return c.muxer }

// Write implements net.Conn. The records of one write are sent together. Every error is final, os.ErrDeadlineExceeded
// too.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) <= maxRecord {
		return c.Conn.Write(p)
	}
	c.write.Lock()
	defer c.write.Unlock()
	c.under.gather()
	n, err := c.Conn.Write(p)
	if e := c.under.flush(); err == nil && e != nil {
		return 0, e // how much arrived is not known, and nothing can follow
	}
	return n, err
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
}

// Close sends a close alert, unless the remote has hung up, and ends the connection. A remote that does not read can
// delay it, for at most 5 s (crypto/tls).
func (c *Conn) Close() error {
	if c.ended.Load() {
		return c.under.Close()
	}
	return c.Conn.Close()
}

const (
	maxRecord = 16 << 10 // data in one record (RFC 8446, section 5.1)
	// sendSize holds four of the longest records, which have at most 22 bytes more than their data.
	sendSize = 4 * (maxRecord + 22)
)

var sendPool = sync.Pool{New: func() any { return new([sendSize]byte) }}

// under is the connection beneath crypto/tls, which makes a system call for each record of at most 16 KiB: while it
// gathers, it sends up to four at once.
type under struct {
	net.Conn
	mu        sync.Mutex // Read, too, may write: alerts and key updates
	gathering bool
	buf       *[sendSize]byte
	n         int
	err       error // of the last flush: some of a record may be on its way
	flight    flight
}

// Read implements net.Conn.
func (u *under) Read(p []byte) (int, error) { return u.flight.read(u.Conn, p) }

func (u *under) gather() {
	u.mu.Lock()
	u.gathering = true
	u.mu.Unlock()
}

// Write takes over records.
func (u *under) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return 0, u.err
	}
	if !u.gathering || len(p) > sendSize {
		u.send()
		if u.err != nil {
			return 0, u.err
		}
		return u.Conn.Write(p)
	}
	if u.buf == nil {
		u.buf = sendPool.Get().(*[sendSize]byte)
	}
	if u.n+len(p) > sendSize {
		u.send()
	}
	u.n += copy(u.buf[u.n:], p)
	return len(p), u.err
}

// flush sends what was gathered, and ends gathering.
func (u *under) flush() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gathering = false
	u.send()
	if u.buf != nil {
		sendPool.Put(u.buf)
		u.buf = nil
	}
	return u.err
}

func (u *under) send() {
	if u.n > 0 && u.err == nil {
		_, u.err = u.Conn.Write(u.buf[:u.n])
	}
	u.n = 0
}
