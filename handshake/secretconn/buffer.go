package secretconn

import "sync"

const (
	// smallSize is what an idle Conn keeps to receive into: a frame, and room to see that more is coming. With it a
	// Conn has 2 KiB. Neither it nor largeSize is a multiple of a frame: a read that fills one ends within a frame, so
	// the rest of it is on its way.
	smallSize = 1728
	// largeSize is what a busy reader borrows. (From 32 to 256 KiB make no difference that can be measured on a 2-core
	// machine.)
	largeSize = 64 << 10
	// sendSize is what a writer borrows: as many whole frames as fit in 64 KiB.
	sendSize = (64 << 10) / sealedSize * sealedSize
)

// The pools are shared by all connections. Buffers are not cleared when they return: a reader hands out only what it
// has read, and a writer overwrites every byte of a frame before it seals it.
var (
	largePool = sync.Pool{New: func() any { return new([largeSize]byte) }}
	sendPool  = sync.Pool{New: func() any { return new([sendSize]byte) }}
)
