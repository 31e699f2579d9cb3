package forcelayout

import (
	"math"
	"testing"
)

// ring links n nodes in a ring.
func ring(n int) (links [][2]int32) {
	for i := range n {
		links = append(links, [2]int32{int32(i), int32((i + 1) % n)})
	}
	return links
}

func distance(a, b Point) float64 { return math.Hypot(a.X-b.X, a.Y-b.Y) }

// Linked nodes are nearer to each other than others are, no place is taken twice, and each run is the same.
func TestLayout(t *testing.T) {
	const n = 60
	links := append(ring(n), [2]int32{3, 3}, [2]int32{-1, 2}, [2]int32{5, n})
	at := Layout(n, links, Steps(n))
	again := Layout(n, links, Steps(n))
	linked, all, pairs := 0.0, 0.0, 0
	for i := range at {
		if at[i] != again[i] || math.IsNaN(at[i].X) || math.IsInf(at[i].X, 0) || math.Hypot(at[i].X, at[i].Y) > 1e4 {
			t.Fatalf("node %d: %v, then %v", i, at[i], again[i])
		}
		linked += distance(at[i], at[(i+1)%n]) / n
		for j := range i {
			all += distance(at[i], at[j])
			pairs++
			if distance(at[i], at[j]) < 1 {
				t.Errorf("%d and %d are at one place", i, j)
			}
		}
	}
	if mean := all / float64(pairs); linked > mean/2 {
		t.Errorf("linked nodes are %.1f apart, all %.1f", linked, mean)
	}
}

func TestSmall(t *testing.T) {
	for n := range 4 {
		for i, p := range Layout(n, ring(n), 50) {
			if math.IsNaN(p.X) || math.IsNaN(p.Y) {
				t.Errorf("%d nodes: node %d is at %v", n, i, p)
			}
		}
	}
}

// The approximation is close to the sum over all nodes.
func TestForce(t *testing.T) {
	at := Layout(300, ring(300), 20)
	tr := &tree{}
	tr.build(at)
	for i, p := range at {
		exact := Point{}
		for _, q := range at {
			if dx, dy := q.X-p.X, q.Y-p.Y; dx != 0 || dy != 0 {
				k := repulsion / max(dx*dx+dy*dy, 1)
				exact.X += dx * k
				exact.Y += dy * k
			}
		}
		got := tr.force(p)
		if off := math.Hypot(got.X-exact.X, got.Y-exact.Y); off > 0.25*math.Hypot(exact.X, exact.Y)+2 {
			t.Errorf("node %d: %v, exactly %v", i, got, exact)
		}
	}
	if tr.cells[0].mass != 300 {
		t.Errorf("the tree has %v nodes", tr.cells[0].mass)
	}
}

func BenchmarkLayout1000(b *testing.B) {
	links := ring(1000)
	for i := range 20_000 {
		links = append(links, [2]int32{int32(i % 1000), int32(i * 7919 % 1000)})
	}
	for b.Loop() {
		Layout(1000, links, Steps(1000))
	}
}
