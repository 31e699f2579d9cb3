package noise

import "sync"

const (
	// smallSize is what an idle Conn keeps to receive into: room for keep-alives, and for most messages of the
	// handshake.
	smallSize = 448
	// largeSize is what a busy reader borrows: the longest message and the short ones that come with it, such as the
	// header of a frame. (Twice as much made no difference that could be measured.)
	largeSize = lengthSize + maxMessage + 4<<10
	// shortSize is what the reader and the writer of short messages borrow.
	shortSize = 4 << 10
	// sendSize is what the writer of a long one borrows: two of the longest messages.
	sendSize = 2 * (lengthSize + maxMessage)
)

// The pools are shared by all connections. Buffers are not cleared when they return: a reader hands out only what it
// has read, and a writer sends only what it has sealed.
var (
	largePool = sync.Pool{New: func() any { return new([largeSize]byte) }}
	shortPool = sync.Pool{New: func() any { return new([shortSize]byte) }}
	sendPool  = sync.Pool{New: func() any { return new([sendSize]byte) }}
)
