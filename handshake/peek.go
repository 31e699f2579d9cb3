package handshake

import (
	"io"
	"sync"

	"github.com/switchyard-p2p/switchyard/transport"
)

// peekSize is how many bytes Peek reads at most. One is enough to tell the wires apart; with some more, a dialer's
// whole first message (35 bytes on comet; on libp2p 60, or 280 with a TLS hello) costs a single system call.
const peekSize = 512

var peekPool = sync.Pool{New: func() any { return new([peekSize]byte) }}

// PeekConn is a connection of bytes whose beginning can be read twice. Afterwards it costs one comparison for each
// Read.
type PeekConn struct {
	transport.ByteConn
	from, to int             // what of buf Read returns first
	buf      *[peekSize]byte // borrowed until Read has returned it
	begin    [16]byte        // how what the remote sends begins
	heard    int             // how much of begin is there
}

// NewPeekConn returns a PeekConn that has read nothing yet.
func NewPeekConn(conn transport.ByteConn) *PeekConn { return &PeekConn{ByteConn: conn} }

// Peek waits for the first bytes of the connection and returns them. Read returns them again. The deadline of the
// connection bounds the wait. Call it once, before Read; what it returns is valid until the first Read.
func (c *PeekConn) Peek() ([]byte, error) {
	c.buf = peekPool.Get().(*[peekSize]byte)
	err := io.ErrNoProgress
	for range 16 { // io.Reader allows (0, nil), but not forever
		n, readErr := c.ByteConn.Read(c.buf[:])
		if n > 0 {
			c.to = n
			c.heard = copy(c.begin[:], c.buf[:n])
			return c.buf[:n], nil // an error comes again with the next Read
		}
		if readErr != nil {
			err = readErr
			break
		}
	}
	peekPool.Put(c.buf)
	c.buf = nil
	return nil, err
}

// Buffered returns how many bytes Read returns without waiting for the remote.
func (c *PeekConn) Buffered() int { return c.to - c.from }

// Read implements net.Conn.
func (c *PeekConn) Read(p []byte) (int, error) {
	if c.from < c.to {
		n := copy(p, c.buf[c.from:c.to])
		if c.from += n; c.from == c.to {
			peekPool.Put(c.buf)
			c.buf = nil
		}
		return n, nil
	}
	n, err := c.ByteConn.Read(p)
	if c.heard < len(c.begin) {
		c.heard += copy(c.begin[c.heard:], p[:n])
	}
	return n, err
}
