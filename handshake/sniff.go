package handshake

import (
	"io"
	"sync"

	"github.com/switchyard-p2p/switchyard/transport"
)

// sniffSize is how many bytes the first read of an inbound connection may take, which are then read again. One is enough to tell the wires apart;
// with some more, a dialer's whole first message (35 bytes on comet; on libp2p 60, or 280 with a TLS hello) costs a single system call.
const sniffSize = 512

var sniffPool = sync.Pool{New: func() any { return new([sniffSize]byte) }}

// sniffedConn is a connection of which the first bytes were read, and will be read again. Afterwards it costs one comparison per Read.
type sniffedConn struct {
	transport.ByteConn
	from, to int              // what of buf is still to be read again
	buf      *[sniffSize]byte // borrowed, until then
}

// sniff waits for the first bytes of conn. The deadline of the connection bounds the wait.
func sniff(conn transport.ByteConn) (*sniffedConn, error) {
	c := &sniffedConn{ByteConn: conn, buf: sniffPool.Get().(*[sniffSize]byte)}
	for range 16 { // io.Reader allows (0, nil), but not for ever
		n, err := conn.Read(c.buf[:])
		if n > 0 {
			c.to = n
			return c, nil // an error comes again with the next Read
		}
		if err != nil {
			sniffPool.Put(c.buf)
			return nil, err
		}
	}
	sniffPool.Put(c.buf)
	return nil, io.ErrNoProgress
}

// prefix is what was read.
func (c *sniffedConn) prefix() []byte { return c.buf[:c.to] }

// Buffered is how many bytes were read that are still to be read again.
func (c *sniffedConn) Buffered() int { return c.to - c.from }

func (c *sniffedConn) Read(p []byte) (int, error) {
	if c.from < c.to {
		n := copy(p, c.buf[c.from:c.to])
		if c.from += n; c.from == c.to {
			sniffPool.Put(c.buf)
			c.buf = nil
		}
		return n, nil
	}
	return c.ByteConn.Read(p)
}
