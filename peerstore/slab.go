package peerstore

import "math/bits"

// slab holds values by small numbers, in chunks: growing moves nothing, so no caller ever waits for a great copy, and a number is a quarter of a
// pointer. Of values without pointers the garbage collector sees only the chunks. The first ones are small, for books of few peers.
type slab[T any] struct {
	chunks [][]T
	free   []uint32
	next   uint32 // the first number never given out
}

const (
	firstChunk = 2                       // the first two chunks, then each is twice as large as the one before
	chunkSize  = firstChunk << lowChunks // all from this number on
	lowChunks  = 7
)

func (s *slab[T]) at(i uint32) *T {
	if i >= chunkSize {
		return &s.chunks[i/chunkSize+lowChunks][i%chunkSize]
	}
	c := bits.Len32(i / firstChunk)
	if c == 0 {
		return &s.chunks[0][i]
	}
	return &s.chunks[c][i-firstChunk<<(c-1)]
}

// take gives out the number of a zero value.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.next
	switch {
	case i == 0:
		s.chunks = append(s.chunks, make([]T, firstChunk))
	case i%chunkSize == 0:
		s.chunks = append(s.chunks, make([]T, chunkSize))
	case i < chunkSize && i >= firstChunk && i&(i-1) == 0:
		s.chunks = append(s.chunks, make([]T, i))
	}
	s.next++
	return i
}

// give takes a number back.
func (s *slab[T]) give(i uint32) {
	var zero T
	*s.at(i) = zero
	s.free = append(s.free, i)
}
