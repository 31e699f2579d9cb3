package muxer

import (
	"math"
	"testing"
)

// serve gives n quanta of the given size and returns what each lane got.
func serve(f *Fair, lanes, n, quantum int) []int {
	got := make([]int, lanes)
	for range n {
		i, _ := f.Next()
		if i < 0 {
			break
		}
		got[i] += quantum
		f.Spent(i, quantum)
	}
	return got
}

func TestFairSharesByWeight(t *testing.T) {
	weights := []int{1, 2, 5, 10}
	f := NewFair(weights)
	for i := range weights {
		f.Add(i)
	}
	got := serve(f, 4, 18000, 1024)
	for i, w := range weights {
		want := float64(w) * 1000 * 1024
		if d := math.Abs(float64(got[i]) - want); d > 4*1024 {
			t.Errorf("lane %d of weight %d got %d bytes, want about %.0f", i, w, got[i], want)
		}
	}
}

func TestFairIdleLaneSavesNothing(t *testing.T) {
	f := NewFair([]int{1, 1})
	f.Add(0)
	serve(f, 2, 10000, 1000) // lane 1 is idle all the time
	f.Add(1)
	got := serve(f, 2, 100, 1000)
	if got[0] < 49000 || got[1] < 49000 {
		t.Errorf("after idling, equal lanes got %v", got)
	}
	// And what lane 0 sent alone is no debt either, even of a tiny weight beside a large one.
	f = NewFair([]int{1, 1000})
	f.Add(0)
	f.Spent(0, 64<<10)
	f.Add(1)
	got = serve(f, 2, 1002, 1000)
	if got[0] < 1000 {
		t.Errorf("the lane that was alone starves: %v", got)
	}
}

func TestFairLaneThatComesAndGoesKeepsItsDebt(t *testing.T) {
	// Lane 0 empties after each message and is filled again at once; lane 1 always waits.
	f := NewFair([]int{1, 1})
	f.Add(1)
	got := [2]int{}
	for range 1000 {
		f.Add(0)
		i, _ := f.Next()
		got[i] += 1000
		f.Spent(i, 1000)
		if i == 0 {
			f.Remove(0)
		}
	}
	if d := got[0] - got[1]; d < -2000 || d > 2000 {
		t.Errorf("got %v, want equal shares", got)
	}
}

func TestFairNobodyStarves(t *testing.T) {
	f := NewFair([]int{1, 1000, 1000, 1000})
	for i := range 4 {
		f.Add(i)
	}
	if got := serve(f, 4, 10000, 100); got[0] == 0 {
		t.Errorf("the light lane got nothing: %v", got)
	}
}

func TestFairClockWrapsAround(t *testing.T) {
	f := NewFair([]int{1, 3})
	f.now = math.MaxUint64 - 1000*fairUnit
	f.due[0], f.due[1] = f.now, f.now
	f.Add(0)
	f.Add(1)
	got := serve(f, 2, 4000, 1000)
	if got[0] < 998000 || got[0] > 1002000 {
		t.Errorf("across the wrap lanes of weight 1 and 3 got %v", got)
	}
	// A lane whose last use is half a turn ago is not taken for one that is far ahead.
	f.Remove(0)
	f.due[0] = f.now + 1<<62
	f.Add(0)
	if got := serve(f, 2, 400, 1000); got[0] < 90000 {
		t.Errorf("a lane that was idle for long got %v", got)
	}
}

func TestFairAllocatesNothing(t *testing.T) {
	f := NewFair(make([]int, 14))
	if n := testing.AllocsPerRun(100, func() {
		for i := range 14 {
			f.Add(i)
		}
		for i, _ := f.Next(); i >= 0; i, _ = f.Next() {
			f.Spent(i, 100)
			f.Remove(i)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
