package live

import (
	"fmt"
	"strings"
)

// StatusScreen shows how a node is doing.
type StatusScreen struct{ nodeScreen }

// NewStatus returns the screen of a node's status. program is the program's name.
func NewStatus(program string) *StatusScreen {
	return &StatusScreen{nodeScreen{name: program + " status"}}
}

// Set implements Screen.
func (s *StatusScreen) Set(n Node) { s.set(n) }

// Key implements Screen.
func (s *StatusScreen) Key(name string) Action {
	if a, taken := s.input.key(name); taken {
		return a
	}
	if name == "q" {
		return Quit{}
	}
	return nil
}

// Frame implements Screen.
func (s *StatusScreen) Frame(l Look) []string {
	lines := s.top(l)
	lines = lines[:min(len(lines), max(3, l.Height-3))]
	if s.silent() {
		for i := 2; i < len(lines); i++ {
			lines[i] = dimmed(lines[i])
		}
	}
	lines = append(lines, l.rule(l.Width))
	var log []Line
	for _, n := range s.data.Events {
		if s.input.matches(n.Text) {
			log = append(log, n)
		}
	}
	room := max(0, l.Height-len(lines)-2)
	lines = fill(Look{Width: l.Width, Height: len(lines) + room, ASCII: l.ASCII},
		append(lines, logLines(l, log, l.Width, room)...))
	return fill(l, append(lines, l.rule(l.Width), s.input.line(l, [][2]string{{"/", "filter events"}, {"q", ""}})))
}

// Last implements Screen.
func (s *StatusScreen) Last(l Look) []string {
	if !s.known {
		return nil
	}
	return s.top(l)
}

// top draws all but the events.
func (s *StatusScreen) top(l Look) []string {
	lines := append(s.header(l), l.rule(l.Width))
	d := &s.data
	if d.Heard.IsZero() {
		return lines
	}
	limit := func(n, most int) string {
		if most == 0 {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%d/%d", n, most)
	}
	var wires Wires
	for _, p := range d.Peers {
		wires.Add(p.Wire)
	}
	pair := func(name, value string) {
		lines = append(lines, fmt.Sprintf(" %s  %s", dim.Render(fmt.Sprintf("%-11s", name)), value))
	}
	pair("node id", Clean(d.ID))
	pair("peer id", Clean(d.PeerID))
	for i, a := range d.Listen {
		name := "listens on"
		if i > 0 {
			name = ""
		}
		pair(name, l.text(Clean(a)))
	}
	pair("version", l.text(Clean(d.Version)))
	pair("links", fmt.Sprintf("%s outbound, %s inbound, %d trusted, %s   %s %d  %s %d  %s %d",
		limit(d.Outbound, d.MaxOut), limit(d.Inbound, d.MaxIn), d.Trusted, plural(d.Guests, "guest"),
		l.wire(Comet), wires.Comet, l.wire(TCP), wires.TCP, l.wire(QUIC), wires.QUIC))
	pair("traffic", fmt.Sprintf("in %s, out %s   %s", rate(d.Receive), rate(d.Send),
		dim.Render(l.spark(d.Trend, min(40, max(0, l.Width-52))))))
	pair("store", fmt.Sprintf("%s known (%s tried, %s new), %d banned, %d in quarantine", count(d.Known),
		count(d.Tried), count(d.New), d.Banned, d.Quarantined))
	pair("last 10 min", fmt.Sprintf("%s, %d failed; %d refused", plural(d.Dials, "dial"), d.Failed, d.Refused))
	for i, f := range d.Findings {
		if i > 0 && i > 3 && l.Height < 40 {
			break
		}
		if i > 0 || f.Remedy != "" {
			lines = append(lines, " "+f.draw(l))
		}
		if f.Remedy != "" {
			for _, part := range wrap(l.text(Clean(f.Remedy)), l.Width-6) {
				lines = append(lines, "     "+dim.Render(strings.TrimSpace(part)))
			}
		}
	}
	return append(lines, s.away(l, 4)...)
}
