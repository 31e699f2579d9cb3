package crawl

import (
	"bufio"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteDOT writes the map as a graph of Graphviz. Nodes are named by their ids, or by their place in the map where they
// have none.
func (m *Map) WriteDOT(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "digraph crawl {\n  label=%s;\n", dotText(m.Summary.Network))
	for i := range m.Nodes {
		n := &m.Nodes[i]
		fmt.Fprintf(out, "  %s [label=%s, state=%s", dotText(m.key(int32(i))), dotText(n.Name()),
			dotText(string(n.State)))
		if !n.State.Alive() {
			out.WriteString(", color=gray")
		}
		out.WriteString("];\n")
	}
	for _, e := range m.Edges {
		fmt.Fprintf(out, "  %s -> %s;\n", dotText(m.key(e.from)), dotText(m.key(e.to)))
	}
	out.WriteString("}\n")
	return out.Flush()
}

// key names a node of the map.
func (m *Map) key(i int32) string {
	if id := m.Nodes[i].ID; id != "" {
		return string(id)
	}
	return "seed-" + strconv.Itoa(int(i))
}

// dotText quotes text as DOT wants it: of all escapes only those of the quote and of the backslash itself are left.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(Plain(s, maxText)) + `"`
}

// graphKeys are the attributes of GraphML's nodes.
var graphKeys = [...]struct {
	name string
	of   func(*Node) string
}{
	{"moniker", func(n *Node) string { return n.info().Moniker }},
	{"state", func(n *Node) string { return string(n.State) }},
	{"network", func(n *Node) string { return n.info().Network }},
	{"version", func(n *Node) string { return n.info().Version }},
	{"address", func(n *Node) string { return n.Best().String() }},
	{"wires", func(n *Node) string { return strings.Join(n.Wires, " ") }},
	{"told_by", func(n *Node) string { return strconv.Itoa(n.ToldBy) }},
	{"as", func(n *Node) string {
		if n.AS == nil {
			return ""
		}
		return n.AS.String()
	}},
}

// info never returns nil.
func (n *Node) info() *Info {
	if n.Info == nil {
		return &Info{}
	}
	return n.Info
}

// WriteGraphML writes the map as GraphML.
func (m *Map) WriteGraphML(w io.Writer) error {
	out := bufio.NewWriter(w)
	out.WriteString(xml.Header + `<graphml xmlns="http://graphml.graphdrawing.org/xmlns">` + "\n")
	e := xml.NewEncoder(out)
	e.Indent("  ", "  ")
	type key struct {
		XMLName xml.Name `xml:"key"`
		ID      string   `xml:"id,attr"`
		For     string   `xml:"for,attr"`
		Name    string   `xml:"attr.name,attr"`
		Type    string   `xml:"attr.type,attr"`
	}
	type data struct {
		Key   string `xml:"key,attr"`
		Value string `xml:",chardata"`
	}
	type graphNode struct {
		XMLName xml.Name `xml:"node"`
		ID      string   `xml:"id,attr"`
		Data    []data   `xml:"data"`
	}
	type graphEdge struct {
		XMLName xml.Name `xml:"edge"`
		Source  string   `xml:"source,attr"`
		Target  string   `xml:"target,attr"`
	}
	for _, k := range graphKeys {
		if err := e.Encode(key{ID: k.name, For: "node", Name: k.name, Type: "string"}); err != nil {
			return err
		}
	}
	graph := xml.StartElement{Name: xml.Name{Local: "graph"}, Attr: []xml.Attr{
		{Name: xml.Name{Local: "id"}, Value: "crawl"}, {Name: xml.Name{Local: "edgedefault"}, Value: "directed"}}}
	if err := e.EncodeToken(graph); err != nil {
		return err
	}
	for i := range m.Nodes {
		n := graphNode{ID: m.key(int32(i))}
		for _, k := range graphKeys {
			if v := k.of(&m.Nodes[i]); v != "" {
				n.Data = append(n.Data, data{k.name, Plain(v, maxText)})
			}
		}
		if err := e.Encode(n); err != nil {
			return err
		}
	}
	for _, d := range m.Edges {
		if err := e.Encode(graphEdge{Source: m.key(d.from), Target: m.key(d.to)}); err != nil {
			return err
		}
	}
	if err := e.EncodeToken(graph.End()); err != nil {
		return err
	}
	if err := e.Flush(); err != nil {
		return err
	}
	out.WriteString("\n</graphml>\n")
	return out.Flush()
}

// WriteCSV writes a row a node. Text that a spreadsheet would take for a formula gets an apostrophe in front.
func (m *Map) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"id", "peer_id", "state", "suspect", "moniker", "network", "version", "address", "wires",
		"rtt_ms", "told", "told_by", "visits", "seen", "asn", "as_name"})
	for i := range m.Nodes {
		n := &m.Nodes[i]
		seen := ""
		if n.Seen != nil {
			seen = n.Seen.UTC().Format(time.RFC3339)
		}
		row := []string{string(n.ID), n.PeerID, string(n.State), strconv.FormatBool(n.Suspect), n.info().Moniker,
			n.info().Network, n.info().Version, n.Best().String(), strings.Join(n.Wires, " "),
			strconv.FormatFloat(n.RTT, 'f', -1, 64), strconv.Itoa(n.Told), strconv.Itoa(n.ToldBy),
			strconv.Itoa(n.Visits), seen, "", ""}
		if n.AS != nil {
			row[14], row[15] = strconv.FormatUint(uint64(n.AS.Number), 10), n.AS.Name
		}
		for k := range row {
			row[k] = cellText(row[k])
		}
		_ = out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func cellText(s string) string {
	s = Plain(s, maxText)
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@|%", first) {
		return "'" + s
	}
	return s
}

// WritePeers writes the reachable nodes as CometBFT's persistent_peers wants them: id@host:port, with commas between
// them, in one line. Nodes that were not found over plain TCP are left out.
func (m *Map) WritePeers(w io.Writer) error {
	var list []string
	for i := range m.Nodes {
		n := &m.Nodes[i]
		if n.State != Reachable || n.info().Guest || n.Suspect {
			continue
		}
		for _, p := range n.Addresses {
			if s := p.Address.CometString(); p.Outcome == Reached && s != "" && strings.Contains(s, "@") {
				list = append(list, s)
				break
			}
		}
	}
	_, err := io.WriteString(w, strings.Join(list, ",")+"\n")
	return err
}
