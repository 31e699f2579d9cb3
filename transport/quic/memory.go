package quic

import (
	"errors"
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
// a buffer of 1,536 bytes from the pool: 13 for each byte. So no byte of the window holds more than windowCost. CRYPTO
// frames are kept in the same way, up to 16 KiB of them.
const (
	windowCost = 192
	// streamCost is what an open stream holds, here and in quic-go, with the goroutine that serves it.
	streamCost    = 4 << 10
	handshakeCost = 16 << 10 * 128
)

// errMemory refuses a connection for which there is no room.
var errMemory = errors.New("unread data may hold no more memory (max_unread)")

// budget counts what the connections of a Transport can hold at worst. Each takes its first part before its handshake,
// or is refused. From when its link is up, its window grows as long as all fits. A remote that may not send more waits
// until we have read.
type budget struct {
	most  int64 // bytes
	first int64 // what a connection takes

	mu  sync.Mutex // guards what follows
	sum int64
	of  map[*lib.Conn]int64 // those whose link is up, and by how much their windows have grown
}

func newBudget(cfg Config) *budget {
	window := min(windowMultiplier*cfg.StreamWindow, cfg.MaxWindow)
	return &budget{most: int64(cfg.MaxUnread), of: make(map[*lib.Conn]int64),
		first: int64(max(handshakeCost, window*windowCost+cfg.MaxStreams*streamCost))}
}

// take counts the first part of a connection, if there is room.
func (b *budget) take() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sum+b.first > b.most {
		return errMemory
	}
	b.sum += b.first
	return nil
}

// add counts the first part of a connection whose handshake is complete. That of the handshake is given back then.
func (b *budget) add() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum += b.first
}

// up lets the window of a connection grow.
func (b *budget) up(c *lib.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of[c] = 0
}

// allow reports whether the window of a connection may grow by n bytes, and counts them. quic-go calls it when what we
// have read makes it worth while, with its locks held.
func (b *budget) allow(c *lib.Conn, n uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	cost := int64(n) * windowCost
	if _, up := b.of[c]; !up || cost > b.most-b.sum {
		return false
	}
	b.of[c] += cost
	b.sum += cost
	return true
}

// give counts a connection no more; nil: one that is no longer in its handshake.
func (b *budget) give(c *lib.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum -= b.first + b.of[c]
	delete(b.of, c)
}
