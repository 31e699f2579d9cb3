package quic

import (
	"sync"

	lib "github.com/quic-go/quic-go"
)

// Received data is bounded as the heap that it can hold at worst, not as its payload. quic-go bounds how much a remote
// may send ahead of our reading, by windows, and the gaps in it (1,000 a stream), but not how small the frames are. It
// keeps each as it came until it is read (quic-go 0.64.1, frame_sorter.go, wire/stream_frame.go). A STREAM frame of one
// byte holds
//
//	 48  a wire.StreamFrame (frames of less than 128 bytes do not come from the pool)
//	 16  its byte, in a block of the allocator's for tiny objects
//	 16  the method value PutBack, as the entry's DoneCb
//	 94  a slot of a map from offset to entry: 8 + 32 bytes and one of control, in tables that are at least 7/16 full
//	---
//	174  for each byte of the window
//
// A gap costs a list element of 48 bytes more, but takes a byte of the window itself, and a frame of 128 bytes or more
// a buffer of 1,536 bytes from the pool: 13 for each byte. So no byte of the window holds more than windowCost.
const windowCost = 192

// windows counts the receive windows of all connections of a Transport. A connection begins with a small one, which is
// always granted; it grows only while the worst case of all fits in Config.MaxUnread. A remote that may not send more
// waits until we have read.
type windows struct {
	most int64 // bytes that all may have together

	mu  sync.Mutex // guards what follows
	sum int64
	of  map[*lib.Conn]int64
}

func newWindows(memory int) *windows {
	return &windows{most: int64(memory / windowCost), of: make(map[*lib.Conn]int64)}
}

// add counts n bytes more of window of a connection.
func (w *windows) add(c *lib.Conn, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of[c] += n
	w.sum += n
}

// allow reports whether the window of a connection may grow by n bytes, and counts them. quic-go calls it when what we
// have read makes it worth while, with its locks held.
func (w *windows) allow(c *lib.Conn, n uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[c] == 0 || int64(n) > w.most-w.sum {
		return false
	}
	w.of[c] += int64(n)
	w.sum += int64(n)
	return true
}

// remove forgets a connection.
func (w *windows) remove(c *lib.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum -= w.of[c]
	delete(w.of, c)
}
