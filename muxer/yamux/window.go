package yamux

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

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
	size  uint32    // what may be under way or unread
	left  uint32    // what the remote may still send
	read  uint32    // what was read since the last window update
	since time.Time // when that was
}

func newWindow() window {
	return window{size: initialWindow, left: initialWindow, since: time.Now()}
}

// take notes that n bytes arrive.
func (w *window) take(n uint32) error {
	if n > w.left {
		return &muxer.CloseError{
			Code:   muxer.CodeProtocolError,
			Reason: fmt.Sprintf("yamux: %d bytes of a stream, of whose window %d are left", n, w.left),
		}
	}
	w.left -= n
	return nil
}

// give notes that n bytes were read, and returns how many more the remote may send; 0 while that is not worth telling.
// rtt is 0 until it is known, most is the largest size.
func (w *window) give(n uint32, rtt time.Duration, most uint32) uint32 {
	if w.read += n; w.read < w.size/2 {
		return 0
	}
	more, now := w.read, time.Now()
	if now.Sub(w.since) < growWithin*rtt {
		if rtt <= shortPath {
			most = min(most, shortWindow)
		}
		grown := max(min(2*w.size, most), w.size)
		more += grown - w.size
		w.size = grown
	}
	w.left += more
	w.read, w.since = 0, now
	return more
}
