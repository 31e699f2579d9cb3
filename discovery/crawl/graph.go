package crawl

import "slices"

// graph is an undirected graph of the nodes of a map.
type graph struct{ next [][]int32 }

func newGraph(n int) *graph { return &graph{next: make([][]int32, n)} }

// link links two nodes; once or twice makes no difference to what we ask of the graph.
func (g *graph) link(a, b int32) {
	g.next[a] = append(g.next[a], b)
	g.next[b] = append(g.next[b], a)
}

// components returns how many components the nodes form, and the size of the largest.
func (g *graph) components(nodes []int32) (count, largest int) {
	seen := make([]bool, len(g.next))
	for _, begin := range nodes {
		if seen[begin] {
			continue
		}
		count++
		seen[begin] = true
		stack := []int32{begin}
		size := 0
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			size++
			for _, j := range g.next[i] {
				if !seen[j] {
					seen[j] = true
					stack = append(stack, j)
				}
			}
		}
		largest = max(largest, size)
	}
	return count, largest
}

// articulation returns the nodes without which their component falls apart, in order: Tarjan's search for the lowest
// node that can be reached, without recursion, as a chain of nodes may be long.
func (g *graph) articulation(nodes []int32) []int32 {
	at := make([]int32, len(g.next)) // when it was found; 0 is never
	low := make([]int32, len(g.next))
	cut := make([]bool, len(g.next))
	type step struct {
		node, parent int32
		edge         int // the next one to look at
	}
	clock := int32(0)
	for _, root := range nodes {
		if at[root] != 0 {
			continue
		}
		clock++
		at[root], low[root] = clock, clock
		children := 0
		stack := []step{{root, -1, 0}}
		for len(stack) > 0 {
			s := &stack[len(stack)-1]
			if s.edge < len(g.next[s.node]) {
				j := g.next[s.node][s.edge]
				s.edge++
				switch {
				case at[j] == 0:
					clock++
					at[j], low[j] = clock, clock
					stack = append(stack, step{j, s.node, 0})
				case j != s.parent:
					low[s.node] = min(low[s.node], at[j])
				}
				continue
			}
			done := *s
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				break
			}
			up := stack[len(stack)-1].node
			low[up] = min(low[up], low[done.node])
			if up == root {
				children++
			} else if low[done.node] >= at[up] {
				cut[up] = true
			}
		}
		if children > 1 {
			cut[root] = true
		}
	}
	var out []int32
	for i, c := range cut {
		if c {
			out = append(out, int32(i))
		}
	}
	slices.Sort(out)
	return out
}
