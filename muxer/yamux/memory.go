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
//     first, and does not shrink while the stream lives; here, 4 bytes in frames. Both slices are at most 5/3 as long
//     as what they hold when they are large, and the old ones are garbage for a while: 64 bytes;
//   - for a stream, 1.5 KiB in go-yamux and here, and the goroutine that serves it: 4 KiB.
const (
	slotCost   = 64
	streamCost = 4 << 10
	// dueOfOne is what each connection may hold, whatever all of them hold.
	dueOfOne = 1 << 20
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

// most returns what one connection may hold.
func (c Config) most() int { return max(c.MaxUnread/shareOfOne, dueOfOne) }

// charge counts n bytes more as held by a stream, or less. mu is held.
func (c *conn) charge(t *traffic, n int) error {
	if c.closed || t.released {
		return nil
	}
	t.held += n
	c.memory += n
	all := c.muxer.memory.Add(int64(n))
	cfg := &c.muxer.cfg
	most, together := cfg.most(), false
	switch {
	case n <= 0:
		return nil
	case c.memory > most:
	case c.memory > dueOfOne && all > int64(cfg.MaxUnread):
		most, together = cfg.MaxUnread, true
	default:
		return nil
	}
	e := &MemoryError{Remote: c.RemoteAddr(), Held: c.memory, Limit: most, All: together}
	return &muxer.CloseError{Code: muxer.CodeOverflow, Reason: e.Error(), Err: e}
}

// drop stops counting a stream: nobody reads what it has or will get. mu is held.
func (c *conn) drop(t *traffic) {
	_ = c.charge(t, -t.held)
	t.released, t.frames = true, frames{}
}

// consumed notes that n bytes of a stream were read, and returns how many more the remote may send for that. mu is
// held.
func (c *conn) consumed(t *traffic, n int) (more uint32) {
	if t.released {
		return 0
	}
	_ = c.charge(t, -t.frames.pop(n))
	c.tidy(t)
	if t.finIn {
		return 0
	}
	before := t.in.size
	more = t.in.give(uint32(n), c.rtt, c.mayGrow(t))
	c.grow(int(t.in.size - before))
	return more
}

// grow counts by how much the windows of streams have grown. mu is held.
func (c *conn) grow(n int) {
	if !c.closed {
		c.grown += n
		c.muxer.grown.Add(int64(n))
	}
}

// mayGrow returns the size to which the window of a stream may grow. Windows together do not grow beyond half of what
// may be held, so that honest remotes, which fill them with full frames, meet no limit. mu is held.
func (c *conn) mayGrow(t *traffic) uint32 {
	cfg := &c.muxer.cfg
	room := min(cfg.most()/2-c.grown, cfg.MaxUnread/2-int(c.muxer.grown.Load()))
	return min(uint32(cfg.MaxWindow), t.in.size+uint32(max(room, 0)))
}

// frames holds the lengths of the frames of a stream that are not yet read.
type frames struct {
	lengths []uint32 // lengths[head:]
	head    int
	read    int // bytes of the first one
	peak    int // the most that there were
}

func (f *frames) empty() bool { return f.head == len(f.lengths) }

// push adds a frame, and returns what it costs.
func (f *frames) push(length uint32) (cost int) {
	if f.head > 0 && len(f.lengths) == cap(f.lengths) {
		f.lengths = f.lengths[:copy(f.lengths, f.lengths[f.head:])]
		f.head = 0
	}
	f.lengths = append(f.lengths, length)
	if n := len(f.lengths) - f.head; n > f.peak {
		f.peak = n
		cost = slotCost
	}
	return cost + bufferSize(length)
}

// pop takes n bytes off, and returns what they cost. What the slots cost stays until the stream is released.
func (f *frames) pop(n int) (freed int) {
	for f.read += n; f.head < len(f.lengths) && f.read >= int(f.lengths[f.head]); f.head++ {
		f.read -= int(f.lengths[f.head])
		freed += bufferSize(f.lengths[f.head])
	}
	return freed
}

// bufferSize returns how much memory go-yamux takes for the body of a frame.
func bufferSize(length uint32) int { return max(1<<bits.Len32(length-1), 8) }
