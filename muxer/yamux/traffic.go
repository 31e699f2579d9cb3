package yamux

import (
	"net"
	"os"
	"time"

	lib "github.com/libp2p/go-yamux/v4"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// traffic is what conn knows of one stream. Its mutex guards it.
type traffic struct {
	id       uint32
	lib      *lib.Stream   // nil until it is accepted
	in       window        // of what the remote sends
	frames   frames        // of what is not yet read, also if it is still on its way here
	held     int           // what the stream is charged
	released bool          // it is not charged any more
	deaf     bool          // what arrives is discarded
	window   int64         // bytes that the remote takes
	notify   func()        // called when window grows
	news     chan struct{} // window has grown, or the state has changed: a Write looks again
	writeBy  time.Time     // the deadline of writes
	begun    bool          // the remote knows of it
	finIn    bool
	finOut   bool
	reset    error // that of its streams; nil: it was not reset
	remote   bool  // the remote has opened it
	fresh    bool  // and it is not yet accepted
	closed   bool  // Close was called
}

// of finds the traffic of a stream, or begins it. mu is held.
func (c *conn) of(id uint32) *traffic {
	t := c.streams[id]
	if t == nil {
		t = &traffic{id: id, in: newWindow(), window: initialWindow, news: make(chan struct{}, 1)}
		c.streams[id] = t
	}
	return t
}

// arrive begins the traffic of a stream that the remote has opened. mu is held.
func (c *conn) arrive(id uint32) *traffic {
	c.remote++
	c.pending++
	t := c.of(id)
	t.remote, t.fresh, t.begun = true, true, true
	return t
}

// begin returns the flag of our first frame of a stream that we have opened, 0 behind it.
func (t *traffic) begin() (flags byte) {
	if !t.begun {
		t.begun = true
		flags = flagSYN
	}
	return flags
}

// stream makes a stream of go-yamux's.
func (c *conn) stream(s *lib.Stream) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(s.StreamID())
	t.lib = s
	if t.fresh {
		t.fresh = false
		c.pending--
		signal(c.room)
		c.tidy(t)
	}
	if c.ended != nil {
		_ = s.SetReadDeadline(longAgo)
	}
	return &stream{conn: c, lib: s, traffic: t}
}

// tidy forgets a stream on which nothing more can happen: frames of it are those of an unknown one. What has arrived
// can still be read. mu is held.
func (c *conn) tidy(t *traffic) {
	if t.reset != nil || t.closed {
		c.drop(t)
	}
	over := t.reset != nil || t.finOut && (t.finIn || t.closed)
	if t.fresh || !over {
		return
	}
	if t.frames.empty() || t.deaf {
		c.drop(t)
	}
	if c.streams[t.id] != t {
		return
	}
	delete(c.streams, t.id)
	c.grow(initialWindow - int(t.in.size))
	if t.remote {
		c.remote--
	}
}

// writable returns how much of n bytes the remote takes in one frame of a stream, or why nothing can be written. mu is
// held.
func (c *conn) writable(t *traffic, n int) (int, error) {
	switch {
	case t.finOut || c.closed:
		return 0, net.ErrClosed
	case t.reset != nil:
		return 0, t.reset
	case !t.writeBy.IsZero() && !time.Now().Before(t.writeBy):
		return 0, os.ErrDeadlineExceeded
	}
	return min(n, int(t.window), c.muxer.cfg.MaxFrame), nil
}
