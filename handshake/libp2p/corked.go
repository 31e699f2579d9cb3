package libp2p

import (
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// corkSize holds most flights of a handshake.
const corkSize = 2 << 10

var corkPool = sync.Pool{New: func() any { return new([corkSize]byte) }}

// corkedConn is a connection that saves system calls while it is being secured. It sends what is written when the
// security waits for the remote: so the security's first message leaves together with the negotiation before it. What
// the dialer's security writes last leaves with the first write after it, which follows at once. The remote's first
// answer is read in one piece.
//
// Until secured is called, one goroutine uses it; from then on it is a net.Conn.
type corkedConn struct {
	*handshake.PeekConn
	await string // the protocol whose acceptance is read first; ""

	held  *[corkSize]byte // borrowed while something is held, or nil
	heldN int
	open  bool // secured: what is held waits for the next write
	plain bool // nothing is held any more
}

// newCorkedConn holds say until something else is written or read. If await is set, the remote's acceptance of that
// protocol is read first.
func newCorkedConn(conn *handshake.PeekConn, say []byte, await string) *corkedConn {
	c := &corkedConn{PeekConn: conn, await: await}
	_, _ = c.Write(say) // it is held
	return c
}

// secured ends the security's handshake. A listener sends what is held; a dialer keeps it for its next write.
func (c *corkedConn) secured(side muxer.Side) error {
	if side == muxer.Listener {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.open, c.plain = true, c.heldN == 0
	return nil
}

// flush sends what is held.
func (c *corkedConn) flush() error {
	if c.heldN == 0 {
		return nil
	}
	_, err := c.PeekConn.Write(c.held[:c.heldN])
	corkPool.Put(c.held)
	c.held, c.heldN = nil, 0
	return err
}

// Write implements net.Conn. The security makes one call at a time.
func (c *corkedConn) Write(p []byte) (int, error) {
	if c.plain {
		return c.PeekConn.Write(p)
	}
	whole := c.heldN+len(p) <= corkSize
	if whole && len(p) > 0 {
		if c.held == nil {
			c.held = corkPool.Get().(*[corkSize]byte)
		}
		c.heldN += copy(c.held[c.heldN:], p)
	}
	if c.open || !whole {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	c.plain = c.open
	if !whole {
		return c.PeekConn.Write(p)
	}
	return len(p), nil
}

// Read implements net.Conn.
func (c *corkedConn) Read(p []byte) (int, error) {
	if !c.open && c.heldN > 0 && c.Buffered() == 0 { // the read may wait for the remote, and that for us
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if protocol := c.await; protocol != "" {
		if _, err := c.Peek(); err != nil { // in one piece with what follows the answer
			return 0, err
		}
		c.await = ""
		if err := multistream.Await(c.PeekConn, protocol); err != nil {
			return 0, err
		}
	}
	return c.PeekConn.Read(p)
}
