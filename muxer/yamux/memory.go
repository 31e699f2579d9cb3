package yamux

import (
	"fmt"
	"math/bits"
	"net"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Received data is charged as the heap that it holds, not as its payload: a remote that sends each byte in a frame of
// its own makes go-yamux hold some 50 bytes for it. What go-yamux 4.0.2 holds until it is read:
//
//   - for a frame, a buffer of the next power of two (go-buffer-pool), allocated when the header has arrived;
//   - for each frame that is unread at the same time, a slice header of 24 bytes in a slice that grows by doubling, at
//     first, and does not shrink while the stream lives; here, 4 bytes in traffic.frames. Both slices are at most 5/3
//     as long as what they hold when they are large, and the old ones are garbage for a while: 64 bytes;
//   - for a stream, 1.5 KiB in go-yamux and here, and the goroutine that serves it: 4 KiB.
const (
	slotCost   = 64
	streamCost = 4 << 10
	// dueOfOne is what each connection may hold, whatever all of them hold.
	dueOfOne = 256 << 10
	// earlyMost is what a connection may hold before its link is up: beyond that we read no more. It is also the
	// longest frame then.
	earlyMost = 64 << 10
	// shareOfOne is which part of Config.MaxUnread one connection may hold.
	shareOfOne = 4
)

// A MemoryError says that what a remote has sent, and nobody has read, holds more memory than it may. Its connection
// ends with it, wrapped in a muxer.CloseError of CodeOverflow.
type MemoryError struct {
	Remote net.Addr
	Held   int // bytes that this connection holds
	Limit  int // of this connection, or of all
	All    bool
}

func (e *MemoryError) Error() string {
	limit := "one connection may hold"
	if e.All {
		limit = "all connections together may hold (max_unread)"
	}
	return fmt.Sprintf("yamux: unread data of %v holds %d bytes of memory; %s %d", e.Remote, e.Held, limit, e.Limit)
}

// arrived takes note that a frame with n bytes of a stream arrives. What nobody reads is stripped off it. mu is held.
func (c *conn) arrived(t *traffic, n uint32, flags uint16) (verdict, error) {
	if int64(n) > int64(t.in.left) {
		return pass, &muxer.CloseError{
			Code:   muxer.CodeProtocolError,
			Reason: fmt.Sprintf("yamux: %d bytes of a stream, of whose window %d are left", n, t.in.left),
		}
	}
	t.in.left -= int(n)
	if n > earlyMost && !c.up {
		return pass, &muxer.CloseError{
			Code:   muxer.CodeProtocolError,
			Reason: fmt.Sprintf("yamux: a frame of %d bytes before the link is up", n),
		}
	}
	if t.deaf || t.reset != nil || flags&flagRST != 0 {
		return strip, nil
	}
	t.frames = append(t.frames, n)
	cost := bufferSize(n)
	if unread := len(t.frames) - t.first; unread > t.peak {
		t.peak = unread
		cost += slotCost
	}
	return pass, c.charge(t, cost)
}

// consumed takes note that n bytes of a stream were read, and returns how many more the remote may send for that; 0
// while that is not worth telling. What the slots of its frames cost stays until the stream is over.
func (c *conn) consumed(t *traffic, n int) (more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.released {
		return 0
	}
	freed := 0
	for t.read += n; t.first < len(t.frames) && t.read >= int(t.frames[t.first]); t.first++ {
		t.read -= int(t.frames[t.first])
		freed += bufferSize(t.frames[t.first])
	}
	if t.first >= len(t.frames)/2 { // it moves no more than was read since the last time
		t.frames, t.first = t.frames[:copy(t.frames, t.frames[t.first:])], 0
	}
	_ = c.charge(t, -freed)
	if t.finIn {
		c.tidy(t)
		return 0
	}
	if t.in.read += n; t.in.read < t.in.size/2 {
		return 0
	}
	return c.refill(t)
}

// charge counts n bytes more as held by a stream, or less. mu is held.
func (c *conn) charge(t *traffic, n int) error {
	if c.closed || t.released {
		return nil
	}
	t.held += n
	c.memory += n
	m := c.muxer
	all := m.memory.Add(int64(n))
	limit, together := m.share, false
	switch {
	case n <= 0:
		if !c.up {
			signal(c.room)
		}
		return nil
	case c.memory > limit:
	case c.memory > dueOfOne && all > int64(m.cfg.MaxUnread):
		limit, together = m.cfg.MaxUnread, true
	default:
		return nil
	}
	e := &MemoryError{Remote: c.RemoteAddr(), Held: c.memory, Limit: limit, All: together}
	return &muxer.CloseError{Code: muxer.CodeOverflow, Reason: e.Error(), Err: e}
}

// bufferSize returns how much memory go-yamux takes for the body of a frame.
func bufferSize(length uint32) int { return max(1<<bits.Len32(length-1), 8) }
