package peerstore

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSlots compares a list with a plain one, for slots at random and in runs, some taken in between.
func TestSlots(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s slots
	var want []uint32
	next := uint32(0)
	for range 20_000 {
		switch random.IntN(8) {
		case 0:
			next = random.Uint32N(1000)
		case 1:
			limit := random.IntN(20)
			got := s.take(limit, []uint32{7})
			n := min(limit, len(want))
			if got[0] != 7 || !slices.Equal(got[1:], want[:n]) {
				t.Fatalf("%v, want %v", got[1:], want[:n])
			}
			want = want[n:]
		default:
			s.add(next)
			want = append(want, next)
			next++
		}
		if s.n != len(want) || len(s.list) > s.n {
			t.Fatalf("%d slots in %d, want %d", s.n, len(s.list), len(want))
		}
	}
	s = slots{}
	for i := range uint32(1000) {
		s.add(i)
	}
	if len(s.list) != 2 || len(s.take(2000, nil)) != 1000 || s.list != nil {
		t.Fatal(s)
	}
}
