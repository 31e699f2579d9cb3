package live

import (
	"fmt"
	"slices"
	"strings"
)

// From these widths on, a demo shows more: who is linked to whom, the peers of the chosen node, each node's traffic.
const (
	matrixFrom = 100
	paneFrom   = 120
	trendFrom  = 160
	paneWidth  = 40
	trendWidth = 16
	fewLines   = 3 // of the log, at least
	barWidth   = 7
	matrixLeft = 62 // what the columns left of the matrix take
)

var demoKeys = [][2]string{{"↑↓", "node"}, {"enter", "peers"}, {"k", "kill"}, {"r", "revive"}, {"c", "cut link"},
	{"s", "send item"}, {"o", "page"}, {"/ ? q", ""}}

var demoPeerKeys = [][2]string{{"↑↓", "peer"}, {"esc", "back"}, {"c", "cut link"}, {"k", "kill"},
	{"s", "send item"},
	{"? q", ""}}

// Frame implements Screen.
func (s *DemoScreen) Frame(l Look) []string {
	lines := s.header(l)
	if s.mode == demoHelp {
		lines = append(lines, s.help(l)...)
		return fill(l, lines)
	}
	keys := demoKeys
	if s.mode == demoPeers {
		keys = demoPeerKeys
	}
	body := l
	body.Height = max(1, l.Height-len(lines)-2)
	lines = append(lines, s.body(body)...)
	lines = append(lines, l.rule(l.Width), s.input.line(l, keys))
	return fill(l, lines)
}

// Last implements Screen.
func (s *DemoScreen) Last(l Look) []string {
	if !s.known {
		return nil
	}
	s.input, s.mode, s.node = input{}, demoNodes, pick{at: -1, key: "none"}
	l.Height = 1 << 10
	lines := append(s.header(l), s.table(l, l.Width, len(s.data.Nodes), true)...)
	return append(append(lines, l.rule(l.Width)), logLines(l, s.data.Log, l.Width, 8)...)
}

func (s *DemoScreen) header(l Look) []string {
	d := &s.data
	left := fmt.Sprintf(" %s %s   %s  up %s", bold.Render(s.name), bold.Render("demo"), plural(len(d.Nodes), "node"),
		clock(d.Up))
	links := fmt.Sprintf("%s/%s links", count(d.Links), count(d.Possible))
	if d.Links < d.Possible && d.All {
		links = yellow.Render(links)
	}
	page := ""
	if d.Page != "" {
		page = "page " + plain.Hyperlink(d.Page).Render(shortURL(d.Page))
	}
	first := left + "   " + links
	if gap := l.Width - Width(first) - Width(page) - 1; page != "" && gap >= 3 {
		first += strings.Repeat(" ", min(gap, max(3, 64-Width(first)))) + page
	}
	formed := s.formed()
	if d.Formed == 0 {
		formed = yellow.Render(formed)
	} else {
		formed = green.Render(formed)
	}
	wires := fmt.Sprintf("%s %s %d  %s %s %d  %s %s %d", l.wire(Comet), yellow.Render("comet"), d.Wires.Comet,
		l.wire(TCP), blue.Render("libp2p"), d.Wires.TCP, l.wire(QUIC), teal.Render("QUIC"), d.Wires.QUIC)
	items := ""
	if d.Items.Sent > 0 {
		items = fmt.Sprintf("items %s/%s", count(d.Items.Arrived), count(d.Items.Expected))
		if d.Items.Arrived < d.Items.Expected {
			items = yellow.Render(items)
		}
		if d.Items.P50 > 0 {
			items += "  p50 " + trip(d.Items.P50)
		}
	}
	second := " " + formed + "   " + wires + "   " + items
	if Width(second) > l.Width { // the names say what the marks say
		second = fmt.Sprintf(" %s   %s %d  %s %d  %s %d   %s", formed, yellow.Render("comet"), d.Wires.Comet,
			blue.Render("libp2p"), d.Wires.TCP, teal.Render("QUIC"), d.Wires.QUIC, items)
	}
	return []string{first, second, l.rule(l.Width)}
}

// body draws the nodes and the log, beside the pane where that has room.
func (s *DemoScreen) body(l Look) []string {
	if s.mode == demoPeers {
		return s.peers(l)
	}
	left := l
	node := s.chosen()
	pane := l.Width >= paneFrom && node != nil
	if pane {
		left.Width = l.Width - paneWidth - 1
	}
	nodes, _ := s.nodes()
	rows := max(1, min(len(nodes), l.Height-2-min(fewLines, l.Height/4)))
	s.room = rows
	lines := s.table(left, l.Width, rows, false)
	lines = append(lines, l.rule(left.Width))
	lines = append(lines, logLines(left, s.data.Log, left.Width, max(0, l.Height-len(lines)))...)
	lines = fill(left, lines)
	if !pane {
		return lines
	}
	side := fill(Look{Width: paneWidth, Height: l.Height, ASCII: l.ASCII}, s.pane(l, node, l.Height))
	for i := range lines {
		lines[i] = pad(lines[i], left.Width, false) + dim.Render(l.glyph("│")) + side[i]
	}
	return lines
}

// table draws a row for each node, as far as there is room; the others become one line. screen is the width of the
// whole screen, which decides on the columns. In the last text no row is chosen.
func (s *DemoScreen) table(l Look, screen, room int, last bool) []string {
	nodes, _ := s.nodes()
	all := len(s.data.Nodes)
	node := s.chosen()
	if last {
		node = nil
	}
	g := grid{columns: []column{{head: "NODE"}, {head: "SPEAKS", drop: 2}, {head: "PORT", drop: 4}, {head: "LINKS"},
		{head: "KNOWS", drop: 5}, {head: "IN", drop: 3}, {head: "OUT", drop: 6}, {head: "RTT", drop: 1}}}
	wide := 0 // of a mark in the matrix
	if screen >= matrixFrom {
		for _, w := range []int{2, 1} {
			if wide == 0 && all*w <= l.Width-matrixLeft {
				wide = w
			}
		}
	}
	if wide > 0 {
		g.columns = append(g.columns, column{head: s.matrixHead(wide), drop: 8})
	}
	if screen >= trendFrom {
		g.columns = append(g.columns, column{head: pad("TRAFFIC", trendWidth, false), drop: 9})
	}
	visible, folded, runs := s.fold(nodes, room, node)
	for _, n := range visible {
		r := row{cells: []string{fmt.Sprint(n.Number), n.Speaks, n.Port}, from: 3}
		if n == node {
			r.mark = chosen.Render(l.glyph("▸"))
			r.cells[0] = chosen.Render(r.cells[0])
		}
		switch n.State {
		case NodeStarts:
			r.text = dim.Render("starting")
		case NodeStopped:
			r.text = red.Render(l.text("✗ stopped " + span(n.For) + " ago"))
			if n.Back > 0 {
				r.text += red.Render(", back in " + span(n.Back+999_999_999))
			}
		default:
			r.cells = append(r.cells, s.linksCell(l, n, all), fmt.Sprint(n.Knows), rate(n.In), rate(n.Out), trip(n.RTT))
			if wide > 0 {
				r.cells = append(r.cells, s.matrixRow(l, n, wide))
			}
			if screen >= trendFrom {
				r.cells = append(r.cells, dim.Render(l.spark(n.Trend, trendWidth)))
			}
		}
		g.rows = append(g.rows, r)
	}
	head, lines := g.lines(l, l.Width)
	if folded > 0 {
		lines = append(lines, dim.Render(fmt.Sprintf(" +%d more, %d up", folded, runs)))
	}
	if len(nodes) == 0 && len(s.data.Nodes) > 0 {
		lines = append(lines, dim.Render(" no node matches "+l.text(s.input.filter)))
	}
	return append([]string{head}, lines...)
}

// fold returns the nodes that find room, how many do not, and how many of those run. Failing nodes and the chosen one
// come first.
func (s *DemoScreen) fold(nodes []*DemoNode, room int, node *DemoNode) (visible []*DemoNode, folded, runs int) {
	if len(nodes) <= room {
		return nodes, 0, 0
	}
	room = max(1, room-1) // the line that tells of the others
	keep := map[*DemoNode]bool{}
	for _, n := range nodes {
		if n.failing() || n == node {
			keep[n] = true
		}
	}
	from, _ := window(len(nodes), max(1, room-len(keep)), max(0, slices.Index(nodes, node)))
	for _, n := range slices.Concat(nodes[from:], nodes[:from]) {
		if len(keep) >= room {
			break
		}
		keep[n] = true
	}
	for _, n := range nodes {
		if keep[n] {
			visible = append(visible, n)
			continue
		}
		folded++
		if n.State == NodeRuns {
			runs++
		}
	}
	return visible, folded, runs
}

// linksCell returns the bar of a node's links, out of all other nodes, and their number; also of how many, if some are
// missing. That is a fault only where each possible link was up: nodes of a large network do not want all.
func (s *DemoScreen) linksCell(l Look, n *DemoNode, nodes int) string {
	up, possible := n.up()
	width := min(barWidth, max(1, nodes-1))
	filled, rest := l.bar(up, nodes-1, width)
	if up < possible {
		style := dim
		if s.data.All {
			style = yellow
		}
		return filled + dim.Render(rest) + " " + style.Render(fmt.Sprintf("%d/%d", up, possible))
	}
	return filled + dim.Render(rest) + fmt.Sprintf(" %d", up)
}

func (s *DemoScreen) matrixHead(wide int) string {
	var b strings.Builder
	for _, n := range s.data.Nodes {
		number := fmt.Sprint(n.Number)
		b.WriteString(pad(number[len(number)-min(wide, len(number)):], wide, false))
	}
	return strings.TrimRight(b.String(), " ")
}

// matrixRow returns the marks of a node's links to all nodes.
func (s *DemoScreen) matrixRow(l Look, n *DemoNode, wide int) string {
	marks := map[int]string{}
	for _, k := range n.Links {
		switch k.State {
		case LinkUp:
			marks[k.To] = l.wire(k.Wire)
		case LinkMissing:
			marks[k.To] = yellow.Render(l.glyph("○"))
		case LinkAway:
			marks[k.To] = red.Render(l.glyph("○"))
		}
	}
	var b strings.Builder
	for _, other := range s.data.Nodes {
		mark := marks[other.Number]
		if other.Number == n.Number {
			mark = dim.Render(l.glyph("·"))
		}
		b.WriteString(pad(mark, wide, false))
	}
	return strings.TrimRight(b.String(), " ")
}

// pane draws the peers of the chosen node beside the table.
func (s *DemoScreen) pane(l Look, n *DemoNode, height int) []string {
	up, _ := links(n)
	lines := []string{" " + bold.Render(fmt.Sprintf("node %d", n.Number)) + "  " + n.Speaks +
		dim.Render("  "+shortID(n.ID))}
	if n.State != NodeRuns {
		return append(lines, " "+red.Render(string(n.State)))
	}
	blocks := fmt.Sprintf(" example chain: %s/%s blocks", count(n.Blocks), count(s.data.Blocks))
	lines = append(lines, dim.Render(blocks), "")
	g := grid{columns: []column{{head: "PEER"}, {head: "WIRE"}, {head: "WAY"}, {head: "RTT", right: true},
		{head: "IN", right: true}, {head: "OUT", right: true, drop: 1}}}
	for _, k := range up[:min(len(up), max(0, height-len(lines)-1))] {
		g.rows = append(g.rows, row{cells: []string{fmt.Sprint(k.To), l.wire(k.Wire) + " " + k.Wire.String(),
			way(k.Dials), trip(k.RTT), rate(k.In), rate(k.Out)}})
	}
	head, rows := g.lines(l, paneWidth)
	return append(append(lines, head), rows...)
}

// peers draws the links of the chosen node, and the log.
func (s *DemoScreen) peers(l Look) []string {
	n := s.chosen()
	if n == nil {
		return nil
	}
	up, keys := links(n)
	s.peer.settle(keys)
	lines := []string{" " + bold.Render(fmt.Sprintf("node %d", n.Number)) + "  speaks " + n.Speaks + "  port " +
		n.Port + dim.Render("  "+n.ID)}
	room := max(1, l.Height-4-min(fewLines, l.Height/4))
	s.room = room
	g := grid{columns: []column{{head: "PEER"}, {head: "WIRE"}, {head: "WAY", drop: 2}, {head: "UP", right: true},
		{head: "RTT", right: true}, {head: "IN", right: true}, {head: "OUT", right: true, drop: 1}}}
	from, to := window(len(up), room, s.peer.at)
	for i, k := range up[from:to] {
		r := row{cells: []string{fmt.Sprintf("node %d", k.To), l.wire(k.Wire) + " " + k.Wire.String(), way(k.Dials),
			span(k.Age), trip(k.RTT), rate(k.In), rate(k.Out)}}
		if from+i == s.peer.at {
			r.mark = chosen.Render(l.glyph("▸"))
		}
		g.rows = append(g.rows, r)
	}
	head, rows := g.lines(l, l.Width)
	lines = append(append(lines, head), rows...)
	switch {
	case n.State != NodeRuns:
		lines = append(lines, " "+red.Render(string(n.State)))
	case len(up) == 0:
		lines = append(lines, dim.Render(" no links"))
	case len(up) > to-from:
		lines = append(lines, dim.Render(fmt.Sprintf(" +%d more", len(up)-(to-from))))
	}
	lines = append(lines, l.rule(l.Width))
	return fill(l, append(lines, logLines(l, s.data.Log, l.Width, max(0, l.Height-len(lines)))...))
}

// way says who dialed.
func way(dialed bool) string {
	if dialed {
		return "out"
	}
	return "in"
}

func (s *DemoScreen) help(l Look) []string {
	lines := []string{
		" Each node is complete: it has its own key, folder and ports. All know one",
		" address, that of node 1, and find each other through it.",
		"",
		fmt.Sprintf(" %s comet   %s libp2p over TCP   %s libp2p over QUIC   %s missing   blank: never",
			l.wire(Comet), l.wire(TCP), l.wire(QUIC), yellow.Render(l.glyph("○"))),
		" KNOWS: nodes it has heard of   IN, OUT: bytes a second   RTT: of an echo",
		" items: deliveries of published items, of those expected   p50: how long",
		"",
		" k   stops a node, as a signal would; its peers notice at once",
		" r   starts it again, with its key and its folder",
		" c   cuts a link of the node (after enter, the chosen one); it comes back",
		" s   publishes an item at the node",
		" o   opens the page of node 1 in your browser",
		" /   filters nodes by number, port, state or what they speak",
		" q   ends it all and removes the folders",
	}
	if s.data.Page != "" {
		lines = append(lines, "", " The page, with its token:")
		for _, part := range wrap(s.data.Page, l.Width-3) {
			lines = append(lines, "   "+part)
		}
	}
	if s.data.Try != "" && l.Height > 24 {
		lines = append(lines, "", " In another terminal, this fetches the example chain of node 1:")
		for _, part := range wrap(s.data.Try, l.Width-3) {
			lines = append(lines, "   "+part)
		}
	}
	if s.data.Ask != "" && l.Height > 28 {
		lines = append(lines, "", " This asks node 1 how it is; peers and doctor work, too:")
		for _, part := range wrap(s.data.Ask, l.Width-3) {
			lines = append(lines, "   "+part)
		}
	}
	for i := range lines {
		lines[i] = l.text(lines[i])
	}
	return append(lines, "", dim.Render(" any key: back"))
}

// shortID returns the beginning of a node id.
func shortID(id string) string { return Clean(id[:min(len(id), 8)]) }
