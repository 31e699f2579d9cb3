package yamux

import "time"

// The receive windows of streams are kept here, not by go-yamux. Whenever go-yamux 4.0.2 lets a window grow, it makes
// room for what was read since the last update and for the growth, and tells the remote of the growth only
// (Stream.sendWindowUpdate); the rest is lost for good. An update that meets a read deadline which has passed is lost
// whole. So go-yamux is configured with windows of twice the largest size, what it says of them goes no further
// (conn.Write), and what the remote may send is said and enforced here. go-yamux always has room for that: it fills its
// own window up as soon as half is read.

// growWithin is a number of round trips. A window of which half is read within them holds the stream up, so it grows.
const growWithin = 4

// On a round trip of at most shortPath a window grows no further than shortWindow, which is twice what is under way
// there at 10 Gbit/s. Most of such a round trip is the time in which goroutines wake up, and the reader takes in one go
// what came meanwhile, so it would grow without end; and what waits in a large window falls out of the caches.
const (
	shortPath   = 200 * time.Microsecond
	shortWindow = 2 * initialWindow
)

// window is the receive window of one stream. The connection's mutex guards it.
type window struct {
	size  int       // what may be under way or unread
	left  int       // what the remote may still send
	read  int       // what was read since the last window update
	since time.Time // when that was
}

// refill returns how much more the remote may send on a stream of whose window half was read. The window grows if that
// took few round trips. Windows together do not grow beyond half of what may be held, so that honest remotes, which
// fill them with full frames, meet no limit. mu is held.
func (c *conn) refill(t *traffic) (more int) {
	w, now, rtt := &t.in, time.Now(), time.Duration(c.out.rtt.Load())
	more = w.read
	if now.Sub(w.since) < growWithin*rtt {
		m := c.muxer
		by := min(w.size, m.cfg.MaxWindow-w.size, m.share/2-c.grown, m.cfg.MaxUnread/2-int(m.grown.Load()))
		if rtt <= shortPath {
			by = min(by, shortWindow-w.size)
		}
		if by > 0 {
			w.size += by
			more += by
			c.grow(by)
		}
	}
	w.left += more
	w.read, w.since = 0, now
	return more
}

// grow counts by how much the windows of streams have grown. mu is held.
func (c *conn) grow(n int) {
	if !c.closed {
		c.grown += n
		c.muxer.grown.Add(int64(n))
	}
}
