package crawl

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Summary is what a map says of the network as a whole.
type Summary struct {
	V       int       `json:"v"`
	Network string    `json:"network"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Partial bool      `json:"partial"`
	Why     string    `json:"why,omitempty"` // it is partial

	Visits int           `json:"visits"`
	Dials  int           `json:"dials"`
	Known  int           `json:"known"` // nodes: the sum of the next four
	Here   int           `json:"reachable"`
	Away   int           `json:"refused"` // alive, and full or refusing
	Others int           `json:"other_network"`
	Heard  int           `json:"seen_only"` // no visit has found them
	States map[State]int `json:"states"`
	Edges  int           `json:"edges"`
	Silent int           `json:"silent"` // reachable, and without an answer: no peer exchange, or none in time

	Versions []Count `json:"versions"` // of the nodes of the network that are alive; at most 50 of each list
	Networks []Count `json:"networks"` // of all that are alive
	Wires    []Count `json:"wires"`
	Groups   []Count `json:"groups"`            // by /16 (IPv6: /32)
	Systems  []Count `json:"systems,omitempty"` // autonomous systems, after SetSystems; "" for those in none
	Reasons  []Count `json:"reasons"`           // why nodes were not found: stage and code

	Degrees      Degrees            `json:"degrees"`
	Components   int                `json:"components"`   // of the nodes that are alive, where an edge links both ends
	Largest      int                `json:"largest"`      // nodes of the largest one
	Articulation []transport.NodeID `json:"articulation"` // nodes without which it falls apart; at most 100
	Cuts         int                `json:"cuts"`         // how many these are
	Suspects     []transport.NodeID `json:"suspects"`     // at most 100
	Stale        Stale              `json:"stale"`
	Estimate     *Estimate          `json:"estimate,omitempty"`
	HeldBack     int                `json:"held_back"` // nodes that only suspects, or nodes beyond their share, told of
	Dropped      Dropped            `json:"dropped"`
}

// Count is how many nodes have something.
type Count struct {
	Name  string `json:"name"`
	Nodes int    `json:"nodes"`
}

// Degrees are about the nodes that are alive: how many of them each tells of (Out), and how many tell of it (In). A
// bucket holds the degrees from its From up to the next one's.
type Degrees struct {
	Out []Bucket `json:"out"`
	In  []Bucket `json:"in"`
}

// Bucket counts nodes.
type Bucket struct {
	From  int `json:"from"`
	Nodes int `json:"nodes"`
}

// Stale is how much of what peer exchange tells leads nowhere.
type Stale struct {
	Told  int     `json:"told"`  // edges to nodes that were visited
	Stale int     `json:"stale"` // of these, to nodes that were not found
	Share float64 `json:"share"`
}

// Estimate is how many nodes there may be, by capture and recapture: two samples of the nodes, and how many are in
// both. Nodes that hardly anybody knows are in neither, so it is a lower bound.
type Estimate struct {
	Method string `json:"method"` // "passes": two passes; "halves": of one pass, what either half of the nodes told
	First  int    `json:"first"`
	Second int    `json:"second"`
	Both   int    `json:"both"`
	Total  int    `json:"total"`
	Unseen int    `json:"unseen"` // beyond the nodes that are alive and known
}

const (
	mostCounts = 50
	mostIDs    = 100
)

// analyse fills in the summary.
func (m *Map) analyse(a *atlas) {
	s := &m.Summary
	*s = Summary{V: Version, Network: a.network, Began: a.began, Ended: a.ended, Visits: a.visits, Dials: a.dials,
		Known: len(m.Nodes), States: map[State]int{}, Edges: len(m.Edges), HeldBack: a.held(), Dropped: a.dropped,
		Articulation: []transport.NodeID{}, Suspects: []transport.NodeID{}}
	versions, networks, wires := map[string]int{}, map[string]int{}, map[string]int{}
	groups, reasons := map[string]int{}, map[string]int{}
	for i := range m.Nodes {
		n := &m.Nodes[i]
		s.States[n.State]++
		if n.Suspect && len(s.Suspects) < mostIDs {
			s.Suspects = append(s.Suspects, n.ID)
		}
		switch n.State {
		case Reachable:
			s.Here++
			if n.PEX == nil || !n.PEX.Answered {
				s.Silent++
			}
		case FullUp, Refusing:
			s.Away++
		case Elsewhere:
			s.Others++
			networks[n.network()]++
			continue
		default:
			s.Heard++
			for _, p := range n.Addresses {
				if p.Outcome != "" {
					reasons[strings.TrimSpace(p.Stage+" "+p.Code)]++
					break
				}
			}
			continue
		}
		if n.Info != nil {
			versions[n.Info.Version]++
			networks[n.network()]++
		}
		for _, w := range n.Wires {
			wires[w]++
		}
		if at := n.Best(); !at.IsZero() {
			groups[at.Group()]++
		}
	}
	s.Versions, s.Networks, s.Wires = counts(versions), counts(networks), counts(wires)
	s.Groups, s.Reasons = counts(groups), counts(reasons)
	m.graph()
	m.stale()
	m.estimate()
}

// counts returns the largest counts, the largest first.
func counts(m map[string]int) []Count {
	list := []Count{}
	for name, n := range m {
		list = append(list, Count{name, n})
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), strings.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), mostCounts)]
}

// present reports whether a node counts as one of the network.
func (n *Node) present() bool { return n.State.Alive() && n.State != Elsewhere }

// graph looks at the edges between the nodes that are alive.
func (m *Map) graph() {
	g := newGraph(len(m.Nodes))
	out, in := make([]int, len(m.Nodes)), make([]int, len(m.Nodes))
	for _, e := range m.Edges {
		if m.Nodes[e.from].present() && m.Nodes[e.to].present() {
			g.link(e.from, e.to)
			out[e.from]++
			in[e.to]++
		}
	}
	var present []int32
	var outs, ins []int
	for i := range m.Nodes {
		if m.Nodes[i].present() {
			present = append(present, int32(i))
			outs, ins = append(outs, out[i]), append(ins, in[i])
		}
	}
	s := &m.Summary
	s.Degrees = Degrees{Out: histogram(outs), In: histogram(ins)}
	s.Components, s.Largest = g.components(present)
	for _, i := range g.articulation(present) {
		s.Cuts++
		if len(s.Articulation) < mostIDs {
			s.Articulation = append(s.Articulation, m.Nodes[i].ID)
		}
	}
}

// histogram counts degrees in the buckets 0, 1, 2, 4, 8, ...
func histogram(degrees []int) []Bucket {
	list := []Bucket{}
	for _, d := range degrees {
		k := 0
		for from := 1; from <= d; from *= 2 {
			k++
		}
		for len(list) <= k {
			from := 0
			if len(list) > 0 {
				from = 1 << (len(list) - 1)
			}
			list = append(list, Bucket{From: from})
		}
		list[k].Nodes++
	}
	return list
}

func (m *Map) stale() {
	s := &m.Summary.Stale
	for _, e := range m.Edges {
		switch state := m.Nodes[e.to].State; {
		case state.Alive():
			s.Told++
		case state != Untried:
			s.Told++
			s.Stale++
		}
	}
	if s.Told > 0 {
		s.Share = math.Round(1000*float64(s.Stale)/float64(s.Told)) / 1000
	}
}

// estimate compares what two passes told, or else what two halves of the nodes told.
func (m *Map) estimate() {
	first, second := make([]bool, len(m.Nodes)), make([]bool, len(m.Nodes))
	passes := slices.ContainsFunc(m.Edges, func(e Edge) bool { return e.passes > 1 })
	for _, e := range m.Edges {
		if !m.Nodes[e.to].present() {
			continue
		}
		one, two := e.passes&1 != 0, e.passes&^1 != 0
		if !passes {
			one = half(e.From)
			two = !one
		}
		first[e.to] = first[e.to] || one
		second[e.to] = second[e.to] || two
	}
	est := &Estimate{Method: "halves"}
	if passes {
		est.Method = "passes"
	}
	for i := range first {
		if first[i] {
			est.First++
		}
		if second[i] {
			est.Second++
		}
		if first[i] && second[i] {
			est.Both++
		}
	}
	if est.First == 0 || est.Second == 0 {
		return
	}
	alive := m.Summary.Here + m.Summary.Away
	est.Total = max((est.First+1)*(est.Second+1)/(est.Both+1)-1, alive) // Chapman's form of Lincoln and Petersen's
	est.Unseen = est.Total - alive
	m.Summary.Estimate = est
}

// half puts a node into one of two halves.
func half(id transport.NodeID) bool {
	sum := byte(0)
	for i := range len(id) {
		sum = sum*31 + id[i]
	}
	return sum&1 == 0
}
