package backfill

import "slices"

// Spans are runs of heights in ascending order, which neither overlap nor touch. A store may keep them of what it has,
// for Store.Range. The zero Spans are empty.
type Spans []Span

// Add returns s with a height. s is not used any more.
func (s Spans) Add(height uint64) Spans {
	i, found := s.find(height)
	if found {
		return s
	}
	below := i > 0 && s[i-1].To+1 == height
	above := i < len(s) && s[i].From-1 == height
	switch {
	case below && above:
		s[i-1].To = s[i].To
		return slices.Delete(s, i, i+1)
	case below:
		s[i-1].To = height
	case above:
		s[i].From = height
	default:
		return slices.Insert(s, i, Span{height, height})
	}
	return s
}

// Has reports whether a height is in s.
func (s Spans) Has(height uint64) bool {
	_, found := s.find(height)
	return found
}

// Within returns the part of s from one height to another, both included.
func (s Spans) Within(from, to uint64) []Span {
	i, _ := s.find(from)
	var out []Span
	for ; i < len(s) && s[i].From <= to; i++ {
		out = append(out, Span{max(s[i].From, from), min(s[i].To, to)})
	}
	return out
}

// find returns the index of the span that has a height, or of the first one above it.
func (s Spans) find(height uint64) (int, bool) {
	return slices.BinarySearchFunc(s, height, func(s Span, height uint64) int {
		switch {
		case s.To < height:
			return -1
		case s.From > height:
			return 1
		}
		return 0
	})
}
