package libp2p

import (
	"sync"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// thriftySize is what most flights of a handshake fit into.
const thriftySize = 2 << 10

var thriftyPool = sync.Pool{New: func() any { return new([thriftySize]byte) }}

// thriftyConn is a connection that saves system calls while it is being secured. What is written is sent when the security waits for the remote; so the security's
// first message goes out with what was to be said before. What the security says last, if it does, goes out with the first write behind it: the caller, who dials then,
// writes at once. What the remote says first is read in one piece. Until secured is called, one goroutine uses it; from then on it is a net.Conn.
type thriftyConn struct {
	transport.ByteConn
	await string // the answer to a proposal that is to be read first; ""

	held  *[thriftySize]byte // borrowed while something is held, or nil
	heldN int
	open  bool // secured: what is held waits for the next write
	plain bool // nothing is held any more

	ahead    *[thriftySize]byte // borrowed while what was read ahead is not taken, or nil
	from, to int
}

// newThriftyConn sends say, as soon as anything is, and then expects the answer to a proposal of await, if that is set.
func newThriftyConn(conn transport.ByteConn, say []byte, await string) *thriftyConn {
	c := &thriftyConn{ByteConn: conn, await: await}
	if len(say) > 0 {
		c.hold(say)
	}
	return c
}

// secured says that the security has done its handshake. What is held is sent now, unless who dials writes at once.
func (c *thriftyConn) secured(side muxer.Side) error {
	if side == muxer.Listener {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.open, c.plain = true, c.heldN == 0
	return nil
}

func (c *thriftyConn) hold(p []byte) {
	if c.held == nil {
		c.held = thriftyPool.Get().(*[thriftySize]byte)
	}
	c.heldN += copy(c.held[c.heldN:], p)
}

// flush sends what is held.
func (c *thriftyConn) flush() error {
	if c.heldN == 0 {
		return nil
	}
	_, err := c.ByteConn.Write(c.held[:c.heldN])
	thriftyPool.Put(c.held)
	c.held, c.heldN = nil, 0
	return err
}

// Write implements net.Conn. The security sees to it that there is one at a time.
func (c *thriftyConn) Write(p []byte) (int, error) {
	if c.plain {
		return c.ByteConn.Write(p)
	}
	whole := c.heldN+len(p) <= thriftySize
	if whole {
		c.hold(p)
	}
	if c.open || !whole {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	c.plain = c.open
	if !whole {
		return c.ByteConn.Write(p)
	}
	return len(p), nil
}

// Read implements net.Conn.
func (c *thriftyConn) Read(p []byte) (int, error) {
	if b, ok := c.ByteConn.(interface{ Buffered() int }); !c.open && c.heldN > 0 && (!ok || b.Buffered() == 0) { // the read may wait for the remote, and that for us
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if protocol := c.await; protocol != "" {
		c.ahead = thriftyPool.Get().(*[thriftySize]byte)
		n, err := c.ByteConn.Read(c.ahead[:])
		if n == 0 && err != nil {
			return 0, err
		}
		c.await, c.to = "", n
		if err := multistream.Await(c, protocol); err != nil {
			return 0, err
		}
	}
	if c.ahead != nil {
		n := copy(p, c.ahead[c.from:c.to])
		if c.from += n; c.from == c.to {
			thriftyPool.Put(c.ahead)
			c.ahead = nil
		}
		if n > 0 {
			return n, nil
		}
	}
	return c.ByteConn.Read(p)
}
