package peerstore

import "testing"

// TestPush grows a slice far beyond what is given memory of its own.
func TestPush(t *testing.T) {
	var all []uint32
	for i := range uint32(hugeArray) {
		all = push(all, i)
	}
	for i, v := range all {
		if int(v) != i {
			t.Fatalf("%d has become %d", i, v)
		}
	}
}

// TestPieces cuts pieces, which must not share any memory, nor grow into each other.
func TestPieces(t *testing.T) {
	var p pieces[uint32]
	var all [][]uint32
	for i := range 100 {
		piece := p.take(1+i%7, 16)
		if len(piece) != 1+i%7 || cap(piece) != len(piece) {
			t.Fatalf("piece %d is %d long, with room for %d", i, len(piece), cap(piece))
		}
		for j := range piece {
			if piece[j] != 0 {
				t.Fatalf("piece %d was given out before", i)
			}
			piece[j] = uint32(i + 1)
		}
		all = append(all, piece)
	}
	for i, piece := range all {
		for _, v := range piece {
			if int(v) != i+1 {
				t.Fatalf("piece %d shares memory with piece %d", i, v-1)
			}
		}
	}
	if n := len(p.take(100, 16)); n != 100 {
		t.Errorf("a piece larger than the arrays is %d long", n)
	}
}
