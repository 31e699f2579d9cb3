package peerstore

// slab holds values by small numbers, in chunks: growing moves nothing, so no caller ever waits for a great copy, and a number is a quarter of a
// pointer. Of values without pointers the garbage collector sees only the chunks.
type slab[T any] struct {
	chunks []*[chunkSize]T
	free   []uint32
	next   uint32 // the first number never given out
}

const chunkSize = 256

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i/chunkSize][i%chunkSize] }

// take gives out the number of a zero value.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.next
	if i%chunkSize == 0 {
		s.chunks = append(s.chunks, new([chunkSize]T))
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
