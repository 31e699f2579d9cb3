package peerstore

import "math/bits"

// slab holds values by small numbers, in chunks: growing moves nothing, so no caller ever waits for a great copy, and a number is a quarter of a
// pointer. Of values without pointers the garbage collector sees only the chunks. A chunk has room for a 16th of what is there (2 to maxChunk values), so that
// little is unused in a book of any size.
type slab[T any] struct {
	chunks [][]T
	free   []uint32
	next   uint32 // the first number never given out
}

// The first 16 chunks are of 2 values, 16 of 4, 16 of 8, and so on, and then all of maxChunk: so numbers begin with 32 beneath, and the bits of a number from the
// fifth highest on are its place in its chunk.
const (
	chunkSteps  = 16
	chunkBits   = 5 // of a number, that say which of the chunks of one size it is in
	firstNumber = 2 * chunkSteps
	mostShift   = 14
	maxChunk    = 1 << mostShift
)

func place(i uint32) (chunk, at uint32) {
	i += firstNumber
	shift := min(uint32(bits.Len32(i)-chunkBits), mostShift)
	return chunkSteps*shift + i>>shift - 2*chunkSteps, i & (1<<shift - 1)
}

func (s *slab[T]) at(i uint32) *T {
	chunk, at := place(i)
	return &s.chunks[chunk][at]
}

// take gives out the number of a zero value.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.next
	if chunk, at := place(i); at == 0 {
		s.chunks = append(s.chunks, array[T](1<<min(1+chunk/chunkSteps, mostShift)))
	}
	s.next++
	return i
}

// upcoming is a number that take may give out next; false when it would need a new chunk for it.
func (s *slab[T]) upcoming() (i uint32, ok bool) {
	if n := len(s.free); n > 0 {
		return s.free[n-1], true
	}
	_, at := place(s.next)
	return s.next, at > 0
}

// give takes a number back.
func (s *slab[T]) give(i uint32) {
	var zero T
	*s.at(i) = zero
	s.free = append(s.free, i)
}
