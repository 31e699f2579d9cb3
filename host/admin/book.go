package admin

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Book is the answer of GET /v1/book: how the known peers are spread.
type Book struct {
	Known   int     `json:"known"`
	New     int     `json:"new"`
	Tried   int     `json:"tried"`
	Buckets Buckets `json:"buckets"`
	Groups  []Group `json:"groups"` // the 50 largest
}

// Buckets tells how many places of each bucket are taken: an attacker with few addresses reaches few of them.
type Buckets struct {
	New   []int `json:"new"`
	Tried []int `json:"tried"`
	Size  int   `json:"size"` // places of each
}

// Group is a network group of known peers, by the first address of each.
type Group struct {
	Group   string `json:"group"` // such as 1.2.0.0/16
	New     int    `json:"new"`
	Tried   int    `json:"tried"`
	Linked  int    `json:"linked"`
	Sources int    `json:"sources"` // peers that told of them
}

func (s reads) book(w http.ResponseWriter, r *http.Request) {
	type counts struct {
		Group
		from map[transport.NodeID]struct{}
	}
	groups, of := s.node.Store.Groups(), map[peerstore.Group]*counts{}
	linked := map[transport.NodeID]bool{}
	for _, p := range s.node.Links.Peers() {
		linked[p.ID] = true
	}
	if !s.scan(w, r, func(rec *peerstore.Record) bool {
		if len(rec.Addresses) == 0 {
			return true
		}
		g := groups.Of(rec.Addresses[0].Address)
		c := of[g]
		if c == nil {
			c = &counts{Group: Group{Group: g.String()}, from: map[transport.NodeID]struct{}{}}
			of[g] = c
		}
		if rec.Tried() {
			c.Tried++
		} else {
			c.New++
		}
		c.Linked += b2i(linked[rec.ID])
		for _, a := range rec.Addresses {
			if a.Source.From != "" {
				c.from[a.Source.From] = struct{}{}
			}
		}
		return true
	}) {
		return
	}
	stats, buckets := s.node.Store.Stats(), s.node.Store.Buckets()
	out := Book{Known: stats.Known, New: stats.New, Tried: stats.Tried, Groups: make([]Group, 0, len(of)),
		Buckets: Buckets{New: append([]int{}, buckets.New...), Tried: append([]int{}, buckets.Tried...),
			Size: buckets.Size}}
	for _, c := range of {
		c.Sources = len(c.from)
		out.Groups = append(out.Groups, c.Group)
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.New+b.Tried, a.New+a.Tried), cmp.Compare(a.Group, b.Group))
	})
	out.Groups = out.Groups[:min(len(out.Groups), mostGroups)]
	Reply(w, http.StatusOK, out)
}

// Graph is the answer of GET /v1/graph: which peer reported which.
type Graph struct {
	Nodes   []GraphNode `json:"nodes"` // this node first, then linked peers, then the best ranked
	Edges   []GraphEdge `json:"edges"`
	LeftOut int         `json:"left_out"` // known peers that there was no room for
}

// GraphNode is a node that is known.
type GraphNode struct {
	ID      transport.NodeID `json:"id"`
	Moniker string           `json:"moniker"` // of a linked peer
	Known   bool             `json:"known"`   // the store has it
	Linked  bool             `json:"linked"`
	Kind    string           `json:"kind"` // as in Peer; of a peer that is not linked, by its first address
}

// GraphEdge says that a node reported another one.
type GraphEdge struct {
	From transport.NodeID `json:"from"`
	To   transport.NodeID `json:"to"`
}

func (s reads) graph(w http.ResponseWriter, r *http.Request) {
	self := s.node.About.Self()
	out := Graph{Nodes: []GraphNode{{ID: self, Moniker: s.node.About.Moniker(), Linked: true}}, Edges: []GraphEdge{}}
	at, known := map[transport.NodeID]int{self: 0}, 0
	for _, p := range s.node.Links.Peers() {
		if len(out.Nodes) < mostNodes {
			at[p.ID] = len(out.Nodes)
			out.Nodes = append(out.Nodes, GraphNode{ID: p.ID, Moniker: p.Moniker, Linked: true, Kind: kindOf(&p)})
		}
	}
	var edges []GraphEdge
	tell := func(rec *peerstore.Record) {
		for _, a := range rec.Addresses {
			e := GraphEdge{a.Source.From, rec.ID}
			if e.From != "" && e.From != e.To && !slices.Contains(edges[max(len(edges)-8, 0):], e) {
				edges = append(edges, e)
			}
		}
	}
	for _, n := range slices.Clone(out.Nodes) { // whatever their rank
		if rec, ok := s.node.Store.Get(n.ID); ok {
			out.Nodes[at[n.ID]].Known = true
			known++
			tell(&rec)
		}
	}
	s.node.Store.Range(func(rec peerstore.Record) bool {
		if _, in := at[rec.ID]; in {
			return true
		}
		if len(out.Nodes) == mostNodes {
			return false
		}
		at[rec.ID] = len(out.Nodes)
		out.Nodes = append(out.Nodes, GraphNode{ID: rec.ID, Known: true, Kind: kindOfAddress(&rec)})
		known++
		tell(&rec)
		return true
	})
	for _, e := range edges {
		_, from := at[e.From]
		if from && len(out.Edges) < mostEdges {
			out.Edges = append(out.Edges, e)
		}
	}
	out.LeftOut = max(s.node.Store.Stats().Known-known, 0)
	Reply(w, http.StatusOK, out)
}

// kindOfAddress returns the Peer.Kind that a link to a peer's first address would have.
func kindOfAddress(rec *peerstore.Record) string {
	if len(rec.Addresses) == 0 {
		return ""
	}
	a := rec.Addresses[0].Address
	for _, p := range a.Multiaddr() {
		if p.Protocol().Name == "quic-v1" {
			return KindQUIC
		}
	}
	return a.Wire()
}
