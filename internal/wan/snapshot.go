//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// outboundSlots is how many outbound links a node wants.
const outboundSlots = 8

// edge is a link that both ends list, by the nodes' indices, the lower one first.
type edge [2]int

// snapshot is what all nodes that run said within a moment.
type snapshot struct {
	at      time.Time
	edges   map[edge][2]link
	alone   []int // nodes without a link
	short   []int // nodes that could have more outbound links
	degrees []int
	outs    []int
	parts   int // networks that there are
	works   int // crossing links that work, after a cut
}

// String tells the totals.
func (s *snapshot) String() string {
	text := fmt.Sprintf("%d alone, %d short, parts %d, links %d, degree %s, outbound %s", len(s.alone), len(s.short),
		s.parts, len(s.edges), spread(s.degrees), spread(s.outs))
	if s.works > 0 {
		text += fmt.Sprintf(", crossing %d", s.works)
	}
	return text
}

// look asks all nodes that run for their links.
func (r *run) look() *snapshot {
	s := &snapshot{at: time.Now(), edges: map[edge][2]link{}}
	lists, index := make([][]link, len(r.nodes)), map[string]int{}
	each(r.nodes, 16, func(n *node) {
		if n.cmd != nil {
			_ = n.get("/v1/peers", &lists[n.index]) // one that does not answer has no links
		}
	})
	for i, n := range r.nodes {
		index[n.id] = i
	}
	half := map[edge]link{}
	in, out := make([]int, len(r.nodes)), make([]int, len(r.nodes))
	for i, list := range lists {
		for _, l := range list {
			if l.Direction == "outbound" {
				out[i]++
			} else {
				in[i]++
			}
			j, known := index[l.ID]
			if !known {
				continue
			}
			half[edge{i, j}] = l
			if other, ok := half[edge{j, i}]; ok {
				s.edges[edge{j, i}] = [2]link{other, l}
			}
		}
	}
	for i, n := range r.nodes {
		if n.cmd == nil {
			continue
		}
		s.degrees, s.outs = append(s.degrees, len(lists[i])), append(s.outs, out[i])
		if len(lists[i]) == 0 {
			s.alone = append(s.alone, i)
		}
		mayDial := func(o *node) bool {
			return o != n && o.cmd != nil && speaks(n.kind, o.kind) && in[o.index] < *inbound &&
				!slices.ContainsFunc(lists[i], func(l link) bool { return l.ID == o.id })
		}
		if out[i] < outboundSlots && slices.ContainsFunc(r.nodes, mayDial) {
			s.short = append(s.short, i)
		}
	}
	s.parts = r.parts(s, func(edge) bool { return true })
	return s
}

// parts counts the networks that the edges in use make of the nodes that run.
func (r *run) parts(s *snapshot, use func(edge) bool) int {
	root := make([]int, len(r.nodes))
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			i = root[i]
		}
		return i
	}
	for e := range s.edges {
		if use(e) {
			root[find(e[0])] = find(e[1])
		}
	}
	heads := map[int]bool{}
	for i, n := range r.nodes {
		if n.cmd != nil {
			heads[find(i)] = true
		}
	}
	return len(heads)
}

// crossing returns the edges between the regions that are cut off and the others.
func (r *run) crossing(s *snapshot, cut map[int]bool) map[edge][2]link {
	m := map[edge][2]link{}
	for e, l := range s.edges {
		if cut[r.nodes[e[0]].region] != cut[r.nodes[e[1]].region] {
			m[e] = l
		}
	}
	return m
}

// spread is minimum, median and maximum.
func spread(v []int) string {
	if len(v) == 0 {
		return "-"
	}
	slices.Sort(v)
	return fmt.Sprintf("%d/%d/%d", v[0], v[len(v)/2], v[len(v)-1])
}
