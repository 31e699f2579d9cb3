package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a key asks of a node.
type (
	Disconnect struct{ ID string }
	Ban        struct {
		ID  string
		For time.Duration
	}
)

func (Disconnect) action() {}
func (Ban) action()        {}

// banFor is for how long the key b bans.
const banFor = time.Hour

// peerColumns are the columns of the peers, and how they sort.
var peerColumns = []struct {
	column
	less func(a, b *Peer) int
}{
	{column{head: "NODE"}, func(a, b *Peer) int { return cmp.Compare(a.ID, b.ID) }},
	{column{head: "MONIKER", most: 28, flex: 8}, func(a, b *Peer) int { return cmp.Compare(a.Moniker, b.Moniker) }},
	{column{head: "WIRE", drop: 2}, func(a, b *Peer) int { return cmp.Compare(a.Wire, b.Wire) }},
	{column{head: "WAY", drop: 7}, func(a, b *Peer) int { return cmp.Compare(wayOf(a), wayOf(b)) }},
	{column{head: "KEPT", drop: 6, most: 40, flex: 12}, func(a, b *Peer) int { return cmp.Compare(a.Kept, b.Kept) }},
	{column{head: "UP", right: true, drop: 3}, func(a, b *Peer) int { return b.Since.Compare(a.Since) }},
	{column{head: "RTT", right: true, drop: 1}, func(a, b *Peer) int { return cmp.Compare(a.RTT, b.RTT) }},
	{column{head: "IN/s", right: true, drop: 4}, func(a, b *Peer) int { return cmp.Compare(a.In, b.In) }},
	{column{head: "OUT/s", right: true, drop: 8}, func(a, b *Peer) int { return cmp.Compare(a.Out, b.Out) }},
	{column{head: "SCORE", right: true, drop: 9}, func(a, b *Peer) int { return cmp.Compare(a.Score, b.Score) }},
}

// wayOf says who dialed, and marks trusted peers and guests.
func wayOf(p *Peer) string {
	s := way(!p.Inbound)
	if p.Trusted {
		s += "*"
	}
	if p.Guest {
		s += "g"
	}
	return s
}

// PeersScreen shows the peers of a node.
type PeersScreen struct {
	nodeScreen
	sort   int // column
	down   bool
	peer   pick
	detail bool
	paused bool
	next   *Node // what came meanwhile
	room   int
}

// NewPeers returns the screen of a node's peers. program is the program's name.
func NewPeers(program string) *PeersScreen {
	return &PeersScreen{nodeScreen: nodeScreen{name: program + " peers"}, room: 1}
}

// Set implements Screen.
func (s *PeersScreen) Set(n Node) {
	if s.paused {
		s.next = &n
		return
	}
	s.set(n)
}

// peers returns the peers that the filter leaves, sorted, and their keys.
func (s *PeersScreen) peers() (peers []*Peer, keys []string) {
	for i := range s.data.Peers {
		p := &s.data.Peers[i]
		if s.input.matches(p.ID, p.Moniker, p.Wire.String(), p.Kept, p.Address, way(!p.Inbound)) {
			peers = append(peers, p)
		}
	}
	slices.SortStableFunc(peers, func(a, b *Peer) int {
		c := peerColumns[s.sort].less(a, b)
		if s.down {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(a.ID, b.ID))
	})
	for _, p := range peers {
		keys = append(keys, p.ID)
	}
	return peers, keys
}

func (s *PeersScreen) chosen() *Peer {
	peers, keys := s.peers()
	s.peer.settle(keys)
	if len(peers) == 0 {
		return nil
	}
	return peers[s.peer.at]
}

// Key implements Screen.
func (s *PeersScreen) Key(name string) Action {
	if s.detail && s.input.question == "" && !s.input.typing && (name == "esc" || name == "left" || name == "enter") {
		s.detail = false
		return nil
	}
	if a, taken := s.input.key(name); taken {
		return a
	}
	_, keys := s.peers()
	switch {
	case name == "q":
		return Quit{}
	case s.peer.move(name, keys, s.room):
		return nil
	}
	p := s.chosen()
	switch name {
	case "s":
		s.sort = (s.sort + 1) % len(peerColumns)
	case "S":
		s.down = !s.down
	case "p":
		if s.paused = !s.paused; !s.paused && s.next != nil {
			s.set(*s.next)
			s.next = nil
		}
	case "enter", "right":
		s.detail = p != nil
	case "d":
		if p != nil {
			again := ""
			if p.Trusted {
				again = "; it is trusted, so dialed again"
			}
			s.input.ask("Disconnect "+label(p)+"? Ends this link"+again+".", Disconnect{p.ID})
		}
	case "b":
		if p != nil {
			s.input.ask(fmt.Sprintf("Ban %s for %d h? Ends this link, refuses its id.", label(p),
				int(banFor.Hours())), Ban{p.ID, banFor})
		}
	}
	return nil
}

// label names a peer in a question.
func label(p *Peer) string {
	if m := Clean(p.Moniker); m != "" {
		return shortID(p.ID) + " (" + cut(m, 16, "…") + ")"
	}
	return shortID(p.ID)
}

// Frame implements Screen.
func (s *PeersScreen) Frame(l Look) []string {
	lines := s.header(l)
	if s.paused {
		lines[1] = yellow.Render(l.text(" · paused; p goes on"))
	}
	lines = append(lines, l.rule(l.Width))
	keys := [][2]string{{"↑↓", "peer"}, {"enter", "detail"}, {"s S", "sort"}, {"/", "filter"}, {"d", "disconnect"},
		{"b", "ban"}, {"p", "pause"}, {"q", ""}}
	body := l
	body.Height = max(1, l.Height-len(lines)-2)
	if p := s.chosen(); s.detail && p != nil {
		lines = append(lines, fill(body, s.details(l, p))...)
		keys = [][2]string{{"↑↓", "peer"}, {"esc", "back"}, {"d", "disconnect"}, {"b", "ban"},
			{"p", "pause"}, {"q", ""}}
	} else {
		lines = append(lines, fill(body, s.table(body))...)
	}
	if s.silent() {
		for i := 3; i < len(lines); i++ {
			lines[i] = dimmed(lines[i])
		}
	}
	return fill(l, append(lines, l.rule(l.Width), s.input.line(l, keys)))
}

// Last implements Screen.
func (s *PeersScreen) Last(l Look) []string {
	if !s.known {
		return nil
	}
	s.input, s.peer = input{}, pick{key: "none", at: -1}
	l.Height = len(s.data.Peers) + len(s.data.Away) + 4
	return append(append(s.header(l), l.rule(l.Width)), s.rows(l, nil, len(s.data.Away)+1)...)
}

func (s *PeersScreen) table(l Look) []string {
	away := min(len(s.data.Away), max(1, l.Height/4))
	return s.rows(l, s.chosen(), away)
}

// rows draws the peers, and then those that are away in at most away lines.
func (s *PeersScreen) rows(l Look, chosenPeer *Peer, away int) []string {
	peers, _ := s.peers()
	missing := s.away(l, away)
	room := max(1, l.Height-1-len(missing))
	if len(peers) > room {
		room = max(1, room-1) // the line that tells of the others
	}
	s.room = room
	var g grid
	for i, c := range peerColumns {
		if i == s.sort {
			arrow := "↑"
			if s.down {
				arrow = "↓"
			}
			c.head += l.glyph(arrow)
		}
		g.columns = append(g.columns, c.column)
	}
	from, to := window(len(peers), room, s.peer.at)
	for _, p := range peers[from:to] {
		score := fmt.Sprint(p.Score)
		if p.Score < 0 {
			score = red.Render(score)
		}
		r := row{cells: []string{shortID(p.ID), l.text(Clean(p.Moniker)), l.wire(p.Wire) + " " + p.Wire.String(),
			wayOf(p), l.text(Clean(p.Kept)), span(s.now.Sub(p.Since)), trip(p.RTT), rate(p.In), rate(p.Out), score}}
		if p == chosenPeer {
			r.mark = chosen.Render(l.glyph("▸"))
		}
		g.rows = append(g.rows, r)
	}
	head, rows := g.lines(l, l.Width)
	lines := append([]string{head}, rows...)
	switch {
	case len(peers) > to-from:
		lines = append(lines, dim.Render(fmt.Sprintf(" +%d more", len(peers)-(to-from))))
	case len(peers) == 0 && len(s.data.Peers) > 0:
		lines = append(lines, dim.Render(" no peer matches "+l.text(s.input.filter)))
	case len(peers) == 0 && s.known && !s.data.Heard.IsZero():
		lines = append(lines, dim.Render(" no peers"))
	}
	return append(lines, missing...)
}

// details draws all that is known of a peer.
func (s *PeersScreen) details(l Look, p *Peer) []string {
	lines := []string{" " + bold.Render(l.text(label(p))) + "  " + l.wire(p.Wire) + " " + p.Wire.String(), ""}
	width := 0
	for _, d := range p.Details {
		width = max(width, Width(d[0]))
	}
	for _, d := range p.Details {
		for i, part := range wrap(l.text(Clean(d[1])), max(10, l.Width-width-5)) {
			name := d[0]
			if i > 0 {
				name = ""
			}
			lines = append(lines, " "+dim.Render(pad(name, width, false))+"  "+strings.TrimSpace(part))
		}
	}
	return lines
}
