package crawl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Map is what a crawl has found. It depends on the journal alone.
type Map struct {
	Summary Summary
	Nodes   []Node // the alive ones first, then by id
	Edges   []Edge // in the order of Nodes
}

// Node is a node of a map: a line of nodes.jsonl. All but ID, Addresses and what was measured is the node's own claim.
type Node struct {
	V         int              `json:"v"`
	ID        transport.NodeID `json:"id"` // "" for a seed without one, at which nobody was found
	PeerID    string           `json:"peer_id,omitempty"`
	State     State            `json:"state"`
	Suspect   bool             `json:"suspect,omitempty"` // nearly nothing of what it told exists
	Seed      bool             `json:"seed,omitempty"`
	Info      *Info            `json:"info,omitempty"`
	Wires     []string         `json:"wires,omitempty"` // proven, as wire/transport
	Security  string           `json:"security,omitempty"`
	Muxer     string           `json:"muxer,omitempty"`
	Stages    []Stage          `json:"stages,omitempty"`
	RTT       float64          `json:"rtt_ms,omitempty"`
	Addresses []Place          `json:"addresses"`
	AS        *System          `json:"as,omitempty"` // of its best address, after SetSystems
	PEX       *Answer          `json:"pex,omitempty"`
	Told      int              `json:"told"`           // nodes that it told of
	Shared    int              `json:"shared"`         // of these, nodes that others told of, too
	ToldBy    int              `json:"told_by"`        // nodes that told of it
	Visits    int              `json:"visits"`         // that reached it
	First     time.Time        `json:"first"`          // heard of
	Seen      *time.Time       `json:"seen,omitempty"` // last proven
}

// Place is an address of a node, and what the last visit there came to.
type Place struct {
	Address transport.Address `json:"address"`
	Outcome Outcome           `json:"outcome,omitempty"` // "" when it was not visited
	Stage   string            `json:"stage,omitempty"`
	Code    string            `json:"code,omitempty"`
	Error   string            `json:"error,omitempty"`
	Time    *time.Time        `json:"time,omitempty"`
	MS      float64           `json:"ms,omitempty"`
}

// Edge says that a node told of another: a line of edges.jsonl.
type Edge struct {
	From  transport.NodeID `json:"from"`
	To    transport.NodeID `json:"to"`
	Heard time.Time        `json:"heard"`
	Age   float64          `json:"age"` // seconds from then to the end of the crawl

	from, to int32 // in Map.Nodes
	passes   uint8
}

// Read makes a map of a journal.
func Read(r io.Reader) (*Map, error) {
	a := newAtlas()
	if _, err := readJournal(r, func(v *Visit) { a.apply(v) }); err != nil {
		return nil, err
	}
	return newMap(a), nil
}

// Map returns what the crawl has found so far. Call it after Run, or after Replay.
func (c *Crawler) Map() *Map {
	m := newMap(c.atlas)
	m.Summary.Partial, m.Summary.Why = c.why != "", c.why
	return m
}

// order ranks states: alive ones first.
var order = map[State]int{Reachable: 0, FullUp: 1, Refusing: 2, Elsewhere: 3, WrongKey: 4, Unreachable: 5, Untried: 6}

func newMap(a *atlas) *Map {
	m := &Map{}
	var list []int32
	for i, n := range a.nodes {
		if n.state != nobody {
			list = append(list, int32(i))
		}
	}
	slices.SortStableFunc(list, func(i, j int32) int {
		p, q := a.nodes[i], a.nodes[j]
		return cmp.Or(cmp.Compare(order[p.state], order[q.state]), strings.Compare(string(p.id), string(q.id)))
	})
	place := make([]int32, len(a.nodes)) // of an atlas's node in m.Nodes
	for k, i := range list {
		place[i] = int32(k)
	}
	for _, i := range list {
		m.Nodes = append(m.Nodes, a.export(a.nodes[i]))
		from := a.nodes[i]
		begin := len(m.Edges)
		for _, t := range from.tells {
			to := a.nodes[t.to]
			m.Edges = append(m.Edges, Edge{From: from.id, To: to.id, Heard: t.at, Age: a.ended.Sub(t.at).Seconds(),
				from: place[i], to: place[t.to], passes: t.passes})
		}
		slices.SortFunc(m.Edges[begin:], func(e, f Edge) int { return cmp.Compare(e.to, f.to) })
	}
	m.analyse(a)
	return m
}

// export makes a Node of an atlas's.
func (a *atlas) export(n *node) Node {
	out := Node{V: Version, ID: n.id, State: n.state, Suspect: a.suspect(n), Seed: n.seed, Told: len(n.tells),
		ToldBy: n.tellers, Visits: n.visits, First: n.first, Wires: slices.Sorted(slices.Values(n.wires)),
		Addresses: []Place{}}
	if !n.seen.IsZero() {
		out.Seen = &n.seen
	}
	if v := n.last; v != nil && n.state.Alive() {
		out.PeerID, out.Info, out.Security, out.Muxer = v.PeerID, v.Info, v.Security, v.Muxer
		out.Stages, out.RTT, out.PEX = v.Stages, v.RTT, v.PEX
	}
	for _, t := range n.tells {
		if a.nodes[t.to].tellers > 1 {
			out.Shared++
		}
	}
	for i := range n.spots {
		s := &n.spots[i]
		p := Place{Address: s.address, Outcome: s.outcome, Stage: s.stage, Code: s.code, Error: s.error, MS: s.ms}
		if !s.at.IsZero() {
			p.Time = &s.at
		}
		out.Addresses = append(out.Addresses, p)
	}
	slices.SortFunc(out.Addresses, func(p, q Place) int {
		return strings.Compare(p.Address.String(), q.Address.String())
	})
	return out
}

// Name returns what to call a node where there is room for a few characters: its moniker, or its id.
func (n *Node) Name() string {
	if n.Info != nil && n.Info.Moniker != "" {
		return Plain(n.Info.Moniker, 40)
	}
	return Plain(string(n.ID), 12)
}

// network returns the network of a node, as it says.
func (n *Node) network() string {
	if n.Info == nil {
		return ""
	}
	return n.Info.Network
}

// Best returns the address at which a node was found; of one that was not, any; the zero Address if it has none.
func (n *Node) Best() transport.Address {
	var best transport.Address
	for _, p := range n.Addresses {
		if p.Outcome.proves() {
			return p.Address
		}
		if best.IsZero() {
			best = p.Address
		}
	}
	return best
}

// WriteNodes writes a line of JSON a node.
func (m *Map) WriteNodes(w io.Writer) error { return writeLines(w, m.Nodes) }

// WriteEdges writes a line of JSON an edge.
func (m *Map) WriteEdges(w io.Writer) error { return writeLines(w, m.Edges) }

// WriteSummary writes the summary as JSON.
func (m *Map) WriteSummary(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(&m.Summary); err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	return nil
}

func writeLines[T any](w io.Writer, list []T) error {
	e := json.NewEncoder(w)
	for i := range list {
		if err := e.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}
