package peerstore

import "github.com/google/btree"

// selection chooses among the peers that may be dialed now. It is the one place that decides whom to try first.
type selection interface {
	// add and remove take O(log n). The item's key is the peer's rank at the time.
	add(item)
	remove(item)
	// each calls fn with the peers in the order in which they should be dialed, beginning behind the one that fn saw as
	// *after (nil: with the first), until fn returns false. fn must not change the selection.
	each(after *item, fn func(item) bool)
	len() int
}

// byRank is the selection that dials the best ranked peer first.
type byRank struct{ tree *btree.BTreeG[item] }

func newByRank() *byRank { return &byRank{newTree()} }

func (s *byRank) add(i item)    { s.tree.ReplaceOrInsert(i) }
func (s *byRank) remove(i item) { s.tree.Delete(i) }
func (s *byRank) len() int      { return s.tree.Len() }

func (s *byRank) each(after *item, fn func(item) bool) {
	if after == nil {
		s.tree.Descend(fn)
		return
	}
	from := *after
	s.tree.DescendLessOrEqual(from, func(i item) bool { return i == from || fn(i) })
}
