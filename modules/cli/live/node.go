package live

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// staleAfter is how long a node may say nothing. It says something each 5 s.
const staleAfter = 12 * time.Second

// Node is a running node at one time, as its admin API tells it.
type Node struct {
	Heard   time.Time // when the last word came; zero: none has come yet
	Trouble string    // why none comes; "" while all is well
	Raw     any       // what --json prints

	ID, PeerID, Moniker, Network, Version string

	Listen            []string
	Since             time.Time // when it started
	Inbound, Outbound int
	MaxIn, MaxOut     int // 0: not known
	Trusted, Guests   int
	Receive, Send     float64 // bytes a second
	Trend             []float64
	Known, Tried, New int
	Banned            int
	Quarantined       int
	Down              int // trusted peers without a link
	Dials, Failed     int // in the last 10 minutes, as Refused
	Refused           int
	Goroutines        int
	Findings          []Finding // worst first
	Peers             []Peer
	Away              []Away
	Events            []Line // oldest first
}

// Finding is a verdict on a node.
type Finding struct {
	Severity     string // ok, info, warn or bad
	Text, Remedy string
}

// Peer is a link of a node.
type Peer struct {
	ID, Moniker, Kept string
	Wire              Wire
	Inbound           bool
	Trusted, Guest    bool
	Since             time.Time
	RTT               time.Duration
	In, Out           float64 // bytes a second
	Score             int
	Address           string
	Details           [][2]string
}

// Away is a peer that a node has no link to, but should know of: down, or in quarantine.
type Away struct {
	ID, Kind, Text string
}

// nodeScreen is what the screens of one node share.
type nodeScreen struct {
	name  string // of the program and the command
	data  Node
	known bool
	now   time.Time
	input input
}

func (s *nodeScreen) set(n Node) { s.data, s.known = n, true }

// Tick implements Screen.
func (s *nodeScreen) Tick(now time.Time) { s.now = now }

// Notice implements Screen.
func (s *nodeScreen) Notice(text string) { s.input.notice = text }

// JSON implements Screen.
func (s *nodeScreen) JSON() any { return s.data.Raw }

// silent reports whether what the screen shows is old: the node does not answer, or says nothing.
func (s *nodeScreen) silent() bool {
	return s.known && (s.data.Trouble != "" || !s.data.Heard.IsZero() && s.now.Sub(s.data.Heard) >= staleAfter)
}

// age returns for how long the node has said nothing.
func (s *nodeScreen) age() time.Duration { return max(0, s.now.Sub(s.data.Heard)) }

// silence says why what the screen shows is old.
func (s *nodeScreen) silence(l Look) string {
	text := l.text(Clean(s.data.Trouble))
	switch {
	case s.data.Heard.IsZero():
	case text == "":
		text = "no word for " + span(s.age())
	default:
		text = "no word for " + span(s.age()) + ": " + text
	}
	return text
}

// header draws the first two lines: who, and whether it is well.
func (s *nodeScreen) header(l Look) []string {
	d := &s.data
	who := l.text(Clean(d.Moniker))
	if who == "" {
		who = shortID(d.ID)
	}
	if n := l.text(Clean(d.Network)); n != "" {
		who += " on " + n
	}
	links := plural(d.Inbound+d.Outbound, "peer")
	if d.Down > 0 {
		links += red.Render(fmt.Sprintf(", %d down", d.Down))
	}
	left := fmt.Sprintf(" %s   %s", bold.Render(s.name), who)
	if !d.Heard.IsZero() {
		left += "   up " + span(s.now.Sub(d.Since)) + "   " + links
	}
	right := fmt.Sprintf("%s in  %s out", rate(d.Receive), rate(d.Send))
	first := sides(l, left, right)
	switch {
	case !s.known:
		return []string{first, dim.Render(" waiting for the node")}
	case s.silent():
		return []string{dimmed(first), red.Render(l.text(" ✗ ") + s.silence(l))}
	}
	return []string{first, " " + s.verdict(l)}
}

// verdict draws the worst finding, and how many more there are.
func (s *nodeScreen) verdict(l Look) string {
	if len(s.data.Findings) == 0 {
		return dim.Render("no findings")
	}
	more := ""
	if n := len(s.data.Findings); n > 1 {
		more = dim.Render(fmt.Sprintf("   +%d more", n-1))
	}
	return s.data.Findings[0].draw(l) + more
}

func (f Finding) draw(l Look) string {
	mark, style := "✓", green
	switch f.Severity {
	case "info":
		mark, style = "·", lipgloss.NewStyle()
	case "warn":
		mark, style = "!", yellow
	case "bad":
		mark, style = "✗", red
	}
	return style.Render(l.text(mark + " " + Clean(f.Text)))
}

// Line implements Screen.
func (s *nodeScreen) Line() string {
	d := &s.data
	at := s.now.Format("15:04:05") + "  "
	if s.silent() {
		return at + s.silence(Look{})
	}
	var wires Wires
	for _, p := range d.Peers {
		wires.Add(p.Wire)
	}
	text := fmt.Sprintf("%s%s (%d out, %d in; %d comet, %d TCP, %d QUIC), in %s, out %s, %d known", at,
		plural(d.Inbound+d.Outbound, "peer"), d.Outbound, d.Inbound, wires.Comet, wires.TCP, wires.QUIC,
		rate(d.Receive), rate(d.Send), d.Known)
	for _, f := range d.Findings {
		text += "; " + f.Severity + ": " + Clean(f.Text)
	}
	if d.Down > 0 {
		text += fmt.Sprintf("; %d trusted down", d.Down)
	}
	return text
}

// away draws the peers without a link, in at most n lines.
func (s *nodeScreen) away(l Look, n int) (lines []string) {
	for i, a := range s.data.Away {
		if len(lines) == n-1 && i < len(s.data.Away)-1 {
			more := max(s.data.Down+s.data.Quarantined, len(s.data.Away)) - i
			return append(lines, dim.Render(fmt.Sprintf(" +%d more without a link", more)))
		}
		mark, style := "✗", red
		if a.Kind != "down" {
			mark, style = "○", yellow
		}
		text := strings.TrimRight(a.Kind+": "+Clean(a.Text), ": ")
		text = l.text(" " + mark + " " + shortID(a.ID) + "  " + text)
		lines = append(lines, cut(style.Render(text), l.Width, l.glyph("…")))
	}
	return lines
}
