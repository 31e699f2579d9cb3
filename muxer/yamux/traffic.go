package yamux

import (
	"net"
	"os"
	"time"

	lib "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// traffic is what conn knows of one stream. Its mutex guards it.
type traffic struct {
	id     uint32
	lib    *lib.Stream // nil until it is accepted
	remote bool        // the remote has opened it
	fresh  bool        // and it is not yet accepted

	in       window   // of what the remote sends
	frames   []uint32 // frames[first:] are the lengths of those that are not yet read, also while on their way here
	first    int
	read     int  // bytes of the first one that were read
	peak     int  // the most frames that were unread at a time
	held     int  // what the stream is charged (memory.go)
	released bool // it is not charged any more
	deaf     bool // what arrives is discarded

	window  int64         // bytes that the remote takes
	syn     byte          // the flag of our first frame, if we open the stream; 0 behind it
	notify  func()        // called when window grows
	news    chan struct{} // window has grown, or the state has changed: a Write looks again
	writeBy time.Time     // the deadline of writes

	finIn  bool
	finOut bool
	reset  *muxer.ResetError // nil: it was not reset
	closed bool              // Close was called
}

// of finds the traffic of a stream, or begins it. mu is held.
func (c *conn) of(id uint32) *traffic {
	t := c.streams[id]
	if t == nil {
		t = &traffic{id: id, window: initialWindow, syn: flagSYN, news: make(chan struct{}, 1),
			in: window{size: initialWindow, left: initialWindow, since: time.Now()}}
		c.streams[id] = t
	}
	return t
}

// arrive begins the traffic of a stream that the remote opens; nil: it is one too many. mu is held.
func (c *conn) arrive(id uint32) *traffic {
	if c.remote >= c.muxer.cfg.MaxStreams {
		return nil
	}
	c.remote++
	t := c.of(id)
	t.remote, t.fresh, t.syn = true, true, 0
	return t
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

// tidy stops charging a stream that nobody reads any more, and forgets one on which nothing more can happen: frames of
// it are those of an unknown one. What has arrived can still be read. mu is held.
func (c *conn) tidy(t *traffic) {
	over := t.reset != nil || t.finOut && (t.finIn || t.closed)
	gone := over && !t.fresh
	if t.reset != nil || t.closed || gone && (t.deaf || t.first == len(t.frames)) {
		_ = c.charge(t, -t.held)
		t.released, t.frames, t.first = true, nil, 0
	}
	if !gone || c.streams[t.id] != t {
		return
	}
	delete(c.streams, t.id)
	c.grow(initialWindow - t.in.size)
	if t.remote {
		c.remote--
	}
}

// writable returns how much of n bytes the remote takes in one frame of a stream, or why nothing can be written. mu is
// held.
func (c *conn) writable(t *traffic, n int) (int, error) {
	switch {
	case t.finOut:
		return 0, net.ErrClosed
	case t.reset != nil:
		return 0, t.reset
	case c.closed:
		return 0, net.ErrClosed
	case !t.writeBy.IsZero() && !time.Now().Before(t.writeBy):
		return 0, os.ErrDeadlineExceeded
	}
	return min(n, int(t.window), c.muxer.cfg.MaxFrame), nil
}
