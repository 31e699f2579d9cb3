package crawl

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/switchyard-p2p/switchyard/internal/forcelayout"
)

// Bounds of the page. 1,000 nodes stay below 1 MB.
const (
	pageNodes = 10_000
	pageEdges = 24_000
)

//go:embed page/map.js
var pageScript string

//go:embed page/map.css
var pageStyle string

//go:embed page/map.html
var pageBody string

// page is the data of the page. Its script reads it by these names.
type page struct {
	Network string     `json:"network"`
	When    string     `json:"when"`
	Partial string     `json:"partial"`
	Counts  []Count    `json:"counts"`
	Left    [2]int     `json:"left"` // nodes and edges that are not drawn
	Nodes   []pageNode `json:"nodes"`
	Edges   [][]int32  `json:"edges"` // for each node, whom it told of, as differences
}

type pageNode struct {
	X       int      `json:"x"`
	Y       int      `json:"y"`
	ID      string   `json:"id"`
	State   State    `json:"s"`
	Kind    string   `json:"k,omitempty"` // comet, libp2p, quic
	Name    string   `json:"m,omitempty"`
	Network string   `json:"n,omitempty"` // where it is not the crawl's
	Version string   `json:"v,omitempty"`
	Address string   `json:"a,omitempty"`
	System  string   `json:"as,omitempty"`
	Why     string   `json:"w,omitempty"`
	RTT     float64  `json:"r,omitempty"`
	Told    int      `json:"t,omitempty"`
	ToldBy  int      `json:"b,omitempty"`
	Seed    int      `json:"seed,omitempty"`
	Suspect int      `json:"liar,omitempty"`
	Also    []string `json:"o,omitempty"` // further addresses
}

// WriteHTML writes the map as one page that needs nothing else: the places of the nodes are computed here, and the
// page's policy lets it load nothing and run no script but its own. Text of remotes gets there as JSON only.
func (m *Map) WriteHTML(w io.Writer) error {
	data, err := json.Marshal(m.page()) // escapes <, > and &
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	title := "crawl"
	if m.Summary.Network != "" {
		title = "crawl of " + Plain(m.Summary.Network, 60)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '%s'; style-src '%s'; `+
		`base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>%s</style>
</head>
%s<script type="application/json" id="data">%s</script>
<script>%s</script>
</body>
</html>
`, hashOf(pageScript), hashOf(pageStyle), htmlText(title), pageStyle, pageBody, data, pageScript)
	_, err = w.Write(text.Bytes())
	return err
}

// hashOf names a script or style in a content security policy.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func htmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(s)
}

// page makes the data of the page.
func (m *Map) page() *page {
	n := min(len(m.Nodes), pageNodes)
	edges, left := m.drawn(n)
	p := &page{Network: Plain(m.Summary.Network, 60), When: m.Summary.Ended.UTC().Format("2006-01-02 15:04 UTC"),
		Counts: []Count{}, Left: [2]int{len(m.Nodes) - n, left}, Nodes: make([]pageNode, 0, n),
		Edges: make([][]int32, n)}
	if m.Summary.Partial {
		p.Partial = Plain(m.Summary.Why, 100)
	}
	for s := range order {
		if k := m.Summary.States[s]; k > 0 {
			p.Counts = append(p.Counts, Count{string(s), k})
		}
	}
	slices.SortFunc(p.Counts, func(a, b Count) int { return cmp.Compare(order[State(a.Name)], order[State(b.Name)]) })
	at := forcelayout.Layout(n, edges, forcelayout.Steps(n))
	for i := range n {
		p.Nodes = append(p.Nodes, m.pageNode(&m.Nodes[i], at[i]))
		p.Edges[i] = []int32{}
	}
	last := make([]int32, n)
	for _, e := range edges { // in order of both ends
		p.Edges[e[0]] = append(p.Edges[e[0]], e[1]-last[e[0]])
		last[e[0]] = e[1]
	}
	return p
}

func (m *Map) pageNode(n *Node, at forcelayout.Point) pageNode {
	info := n.info()
	out := pageNode{X: int(math.Round(at.X)), Y: int(math.Round(at.Y)), ID: Plain(string(n.ID), 70), State: n.State,
		Name: Plain(info.Moniker, 60), Version: Plain(info.Version, 60), RTT: n.RTT, Told: n.Told, ToldBy: n.ToldBy}
	if at := n.Best(); !at.IsZero() {
		out.Address = Plain(cmp.Or(at.CometString(), at.String()), 120)
	}
	if n.AS != nil {
		out.System = n.AS.String()
	}
	if info.Network != m.Summary.Network {
		out.Network = Plain(info.Network, 60)
	}
	for _, w := range n.Wires {
		switch wire, transport, _ := strings.Cut(w, "/"); {
		case transport == "quic":
			out.Kind = "quic"
		case out.Kind == "":
			out.Kind = wire
		}
	}
	if n.Seed {
		out.Seed = 1
	}
	if n.Suspect {
		out.Suspect = 1
	}
	for _, a := range n.Addresses {
		if out.Why == "" && a.Outcome != Reached && a.Outcome != "" {
			out.Why = Plain(strings.TrimSpace(a.Stage+" "+a.Code), 60)
		}
		if a.Address != n.Best() && len(out.Also) < 3 {
			out.Also = append(out.Also, Plain(a.Address.String(), 120))
		}
	}
	if n.State == Reachable {
		out.Why = ""
	}
	return out
}

// drawn chooses the edges of the page between its first n nodes, in order of both ends: the same number of each node,
// as far as it goes. It counts the others.
func (m *Map) drawn(n int) (edges [][2]int32, left int) {
	of := make([]int, n)
	for _, e := range m.Edges {
		if int(e.from) < n && int(e.to) < n {
			of[e.from]++
		}
	}
	// The largest number a node may have so that all fit.
	most := sort.Search(maxTaken*maxPasses, func(most int) bool {
		sum := 0
		for _, k := range of {
			sum += min(k, most+1)
		}
		return sum > pageEdges
	})
	taken := make([]int, n)
	for _, e := range m.Edges {
		if int(e.from) >= n || int(e.to) >= n {
			continue
		}
		k := taken[e.from]
		taken[e.from]++
		// Of of[from] edges, most are taken, evenly.
		if have := of[e.from]; have <= most || (k+1)*most/have > k*most/have {
			edges = append(edges, [2]int32{e.from, e.to})
		}
	}
	return edges, len(m.Edges) - len(edges)
}
