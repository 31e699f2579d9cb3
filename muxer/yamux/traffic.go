package yamux

import (
	"time"

	lib "github.com/libp2p/go-yamux/v4"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// traffic is what we know of one stream.
type traffic struct {
	id       uint32
	lib      *lib.Stream // nil until it is accepted
	readable int
	in       window // of what the remote sends
	unsaid   int    // bytes that were read since go-yamux had something to say of its window
	window   int64  // bytes that the remote takes
	begun    bool   // the remote was told of it, or has begun it; the writer's turn guards it
	paced    bool   // WriteReady is used: kept until the connection ends
	finIn    bool
	finOut   bool
	reset    bool
	fresh    bool // not yet accepted
	dropped  bool // nobody reads what arrives
	watch    func()
	passing  []byte // the part of readable that go-yamux has not seen
	answers
}

// of finds the traffic of a stream, or begins it. The mutex is held.
func (c *conn) of(id uint32) *traffic {
	t := c.streams[id]
	if t == nil {
		t = &traffic{id: id, in: newWindow(), window: initialWindow}
		c.streams[id] = t
	}
	return t
}

// pace takes note that WriteReady is used. The mutex is held.
func (t *traffic) pace(c *conn) {
	if !t.paced {
		t.paced = true
		c.streams[t.id] = t
	}
}

// tidy forgets a stream on which nothing more can happen. The mutex is held.
func (c *conn) tidy(t *traffic) {
	if !t.fresh && (t.reset || t.finIn && t.finOut) {
		c.forget(t)
	}
}

func (c *conn) forget(t *traffic) {
	if t.gone = t.come < t.till; !t.gone && !t.paced && c.streams[t.id] == t {
		delete(c.streams, t.id)
	}
}

// known takes note that a stream of the remote was accepted, or refused by go-yamux. The mutex is held.
func (c *conn) known(t *traffic) {
	if t.fresh {
		t.fresh = false
		c.pending--
		c.tidy(t)
		if c.room != nil && c.pending < acceptBacklog/2 {
			close(c.room)
			c.room = nil
		}
	}
}

// take takes note of the remote's end of a stream. The mutex is held.
func (c *conn) take(t *traffic, flags uint16) {
	t.finIn = t.finIn || flags&flagFIN != 0
	if flags&flagRST != 0 {
		t.reset = true
		c.drop(t)
	}
}

// hold counts n bytes more as unread. The mutex is held.
func (c *conn) hold(n int) {
	if c.over {
		return
	}
	c.unread += n
	c.muxer.unread.Add(int64(n))
}

// drop takes note that nobody reads what a stream has or will get. The mutex is held.
func (c *conn) drop(t *traffic) {
	if !t.dropped {
		t.dropped = true
		c.hold(-t.readable)
		t.readable, t.passing = 0, nil
	}
}

// said takes note that go-yamux tells of a window, which it does when half of it, that is Config.MaxWindow, was read.
func (c *conn) said(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.streams[id]; t != nil {
		t.unsaid = 0
	}
}

// consumed takes note that n bytes of a stream were read, and says how many more the remote may send for that. The mutex is held.
func (c *conn) consumed(t *traffic, n int) (more uint32) {
	if t.dropped {
		return 0
	}
	t.readable -= n
	t.unsaid += n
	c.hold(-n)
	if t.finIn {
		return 0
	}
	return t.in.give(uint32(n), c.rtt, uint32(c.muxer.cfg.MaxWindow))
}
