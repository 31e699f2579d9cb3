package peerstore

import "testing"

// TestSlab takes numbers through all sizes of chunks: each is another value, which stays where it is.
func TestSlab(t *testing.T) {
	var s slab[uint32]
	where := map[uint32]*uint32{}
	for want := range uint32(40 * maxChunk) {
		i := s.take()
		if i != want {
			t.Fatalf("took %d, want %d", i, want)
		}
		where[i] = s.at(i)
		if *s.at(i) != 0 {
			t.Fatalf("%d is not zero", i)
		}
		*s.at(i) = i + 1
	}
	for i, p := range where {
		if p != s.at(i) || *p != i+1 {
			t.Fatalf("%d has moved, or has become %d", i, *s.at(i))
		}
	}
	s.give(7)
	if i := s.take(); i != 7 || *s.at(7) != 0 {
		t.Errorf("took %d, with %d in it", i, *s.at(i))
	}
	var few slab[uint32]
	few.take()
	if n := len(few.chunks[0]); n != 2 {
		t.Errorf("one value holds room for %d", n)
	}
}
