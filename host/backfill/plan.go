package backfill

import (
	"fmt"
	"slices"
)

// Span is a run of heights, both ends included. One whose To is below its From is empty.
type Span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Has reports whether the span has a height.
func (s Span) Has(height uint64) bool { return s.From <= height && height <= s.To }

// Empty reports whether the span has no height.
func (s Span) Empty() bool { return s.To < s.From }

func (s Span) String() string {
	if s.Empty() {
		return "none"
	}
	return fmt.Sprintf("%d-%d", s.From, s.To)
}

// plan is the heights of a run that the store lacks, in the order in which they are committed. The scheduler counts
// them by position: 0 is committed first.
type plan struct {
	down   bool
	gaps   []Span   // in the order of the run
	starts []uint64 // position of the first height of each gap
	total  uint64   // positions
}

// newPlan plans a run from one height to another, which is downwards if to is below from, without what is stored.
// stored is in ascending order and does not overlap.
func newPlan(from, to uint64, stored []Span) plan {
	p := plan{down: to < from}
	rest, open := Span{min(from, to), max(from, to)}, true
	for _, s := range stored {
		if s.Empty() || s.To < rest.From || s.From > rest.To {
			continue
		}
		if s.From > rest.From {
			p.gaps = append(p.gaps, Span{rest.From, s.From - 1})
		}
		if open = s.To < rest.To; !open {
			break
		}
		rest.From = s.To + 1
	}
	if open {
		p.gaps = append(p.gaps, rest)
	}
	if p.down {
		slices.Reverse(p.gaps)
	}
	for _, g := range p.gaps {
		p.starts = append(p.starts, p.total)
		p.total += g.To - g.From + 1
	}
	return p
}

// gap returns the gap of a position and the position within it.
func (p *plan) gap(pos uint64) (g Span, at uint64) {
	i, found := slices.BinarySearch(p.starts, pos)
	if !found {
		i--
	}
	return p.gaps[i], pos - p.starts[i]
}

// height returns the height at a position below total.
func (p *plan) height(pos uint64) uint64 {
	g, at := p.gap(pos)
	if p.down {
		return g.To - at
	}
	return g.From + at
}

// run returns how many positions from pos on are at consecutive heights.
func (p *plan) run(pos uint64) uint64 {
	g, at := p.gap(pos)
	return g.To - g.From + 1 - at
}
