package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
)

// drawMap prints what a crawl has found.
func drawMap(w io.Writer, m *crawl.Map, dir string) {
	s := &m.Summary
	network := s.Network
	if network == "" {
		network = "(unknown)"
	}
	fmt.Fprintf(w, "network %s: %d nodes in %s, %d visits, %d dials\n", clean(network), s.Known,
		span(s.Ended.Sub(s.Began)), s.Visits, s.Dials)
	if s.Partial {
		fmt.Fprintf(w, "partial: %s\n", s.Why)
	}
	fmt.Fprintln(w)
	var states []crawl.Count
	for _, state := range []crawl.State{crawl.Reachable, crawl.FullUp, crawl.Refusing, crawl.Elsewhere, crawl.WrongKey,
		crawl.Unreachable, crawl.Untried} {
		if n := s.States[state]; n > 0 {
			states = append(states, crawl.Count{Name: string(state), Nodes: n})
		}
	}
	drawCounts(w, "state", states, len(states))
	drawCounts(w, "version", s.Versions, 8)
	drawCounts(w, "wire", s.Wires, 8)
	if len(s.Networks) > 1 {
		drawCounts(w, "network", s.Networks, 8)
	}
	drawCounts(w, "group", s.Groups, 8)
	drawCounts(w, "as", s.Systems, 8)
	drawCounts(w, "not found because", s.Reasons, 8)
	drawDegrees(w, "told by", s.Degrees.In)
	pairs := [][2]string{}
	add := func(name, format string, args ...any) {
		pairs = append(pairs, [2]string{name, fmt.Sprintf(format, args...)})
	}
	add("edges", "%d: a node told of another; %.0f %% of those visited were not found", s.Edges, 100*s.Stale.Share)
	if s.Components > 0 {
		connected := fmt.Sprintf("%d of %d nodes, in the largest of %d parts", s.Largest, s.Here+s.Away, s.Components)
		if s.Components == 1 {
			connected = fmt.Sprintf("all %d nodes", s.Largest)
		}
		switch s.Cuts {
		case 0:
			connected += "; none of them alone holds it together"
		case 1:
			connected += "; without one of them it falls apart"
		default:
			connected += fmt.Sprintf("; without any one of %d nodes it falls apart", s.Cuts)
		}
		add("connected", "%s", connected)
	}
	if e := s.Estimate; e != nil {
		unseen := fmt.Sprintf("at least %d nodes", e.Unseen)
		if e.Unseen == 0 {
			unseen = "no node, as far as can be told"
		}
		add("unseen", "%s (two %s told of %d and %d nodes, of which %d are the same)", unseen, e.Method, e.First,
			e.Second, e.Both)
	}
	if len(s.Suspects) > 0 {
		add("suspects", "%d nodes tell of almost nobody real; %d nodes were left unvisited", len(s.Suspects),
			s.HeldBack)
	}
	if dir != "" {
		add("files", "%s", filepath.Join(dir, "map.html")+" and others")
	}
	printPairs(w, pairs)
}

// drawCounts prints a bar for each of the first counts.
func drawCounts(w io.Writer, head string, list []crawl.Count, most int) {
	if len(list) == 0 {
		return
	}
	rest := 0
	for _, c := range list[min(most, len(list)):] {
		rest += c.Nodes
	}
	list = list[:min(most, len(list))]
	if rest > 0 {
		list = append(list[:len(list):len(list)], crawl.Count{Name: "others", Nodes: rest})
	}
	largest := 0
	for _, c := range list {
		largest = max(largest, c.Nodes)
	}
	t := table{heads: []string{strings.ToUpper(head), ">NODES", ""}}
	for _, c := range list {
		name := crawl.Plain(c.Name, 40)
		if name == "" {
			name = "(none)"
		}
		t.add(name, fmt.Sprint(c.Nodes), strings.Repeat("#", max(1, 40*c.Nodes/largest)))
	}
	t.print(w)
	fmt.Fprintln(w)
}

// drawDegrees prints how many nodes have so many links.
func drawDegrees(w io.Writer, head string, list []crawl.Bucket) {
	var counts []crawl.Count
	for i, b := range list {
		name := fmt.Sprint(b.From)
		if i+1 < len(list) && list[i+1].From > b.From+1 {
			name = fmt.Sprintf("%d-%d", b.From, list[i+1].From-1)
		} else if i+1 == len(list) && b.From > 1 {
			name = fmt.Sprintf("%d or more", b.From)
		}
		if b.Nodes > 0 {
			counts = append(counts, crawl.Count{Name: name, Nodes: b.Nodes})
		}
	}
	drawCounts(w, head, counts, len(counts))
}
