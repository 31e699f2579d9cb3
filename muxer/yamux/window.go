package yamux

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// The receive windows of streams are kept here, not by go-yamux. Whenever go-yamux 4.0.2 lets a window grow, it makes room for what was read since the last
// update and for the growth, and tells the remote of the growth only (Stream.sendWindowUpdate); the rest is lost for good. And an update that meets a read
// deadline which has passed is lost whole. So it believes that every stream has twice the largest window, what it tells of windows goes no further
// (conn.Write), and what the remote may send is said and enforced here. go-yamux always has room for that: it fills its own window up as soon as half is read, so
// it takes more than the largest window beyond what was read at any time; we grant no more than that.

// growWithin is the number of round trips within which half of a window is read if the window is what holds the stream up: it grows then.
const growWithin = 4

// window is the receive window of one stream. The connection's mutex guards it.
type window struct {
	size  uint32    // what may be under way or unread
	left  uint32    // what the remote may still send
	read  uint32    // what was read since it was last told of more
	since time.Time // when that was
}

func newWindow() window {
	return window{size: initialWindow, left: initialWindow, since: time.Now()}
}

// take takes note that n bytes arrive.
func (w *window) take(n uint32) error {
	if n > w.left {
		return &muxer.CloseError{Code: muxer.CodeProtocolError, Reason: fmt.Sprintf("yamux: %d bytes of a stream, of whose window %d are left", n, w.left)}
	}
	w.left -= n
	return nil
}

// give takes note that n bytes were read, and says how many more the remote may send; 0 while that is not worth telling. rtt is 0 until it is known, most is
// the largest size.
func (w *window) give(n uint32, rtt time.Duration, most uint32) uint32 {
	if w.read += n; w.read < w.size/2 {
		return 0
	}
	more, now := w.read, time.Now()
	if now.Sub(w.since) < growWithin*rtt {
		grown := min(2*w.size, most)
		more += grown - w.size
		w.size = grown
	}
	w.left += more
	w.read, w.since = 0, now
	return more
}

// measured takes note of a round trip.
func (c *conn) measured(rtt time.Duration) {
	if rtt <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rtt > 0 {
		rtt = (c.rtt + rtt) / 2
	}
	c.rtt = rtt
}

// grant tells the remote that it may send more of a stream.
func (c *conn) grant(id, more uint32) {
	if !c.lost.Load() {
		c.out.grant(id, more)
	}
}
