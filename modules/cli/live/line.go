package live

import (
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// LineKind says what a line of a log is about.
type LineKind string

// The kinds of lines.
const (
	LineComet LineKind = "comet" // a link is up, over this wire
	LineTCP   LineKind = "tcp"
	LineQUIC  LineKind = "quic"
	LineUp    LineKind = "up"
	LineDown  LineKind = "down"
	LineItem  LineKind = "item"
	LineNote  LineKind = "note"
)

// LineOf returns the kind of the line that says that a link is up.
func LineOf(w Wire) LineKind {
	return [...]LineKind{LineUp, LineComet, LineTCP, LineQUIC}[w]
}

// Line is something that happened.
type Line struct {
	Time time.Time `json:"time"`
	Kind LineKind  `json:"kind"`
	Text string    `json:"text"`
}

// mark returns the mark of a line, coloured.
func (n Line) mark(l Look) string {
	switch n.Kind {
	case LineComet:
		return l.wire(Comet)
	case LineTCP:
		return l.wire(TCP)
	case LineQUIC:
		return l.wire(QUIC)
	case LineUp:
		return green.Render(l.glyph("✓"))
	case LineDown:
		return red.Render(l.glyph("✗"))
	case LineItem:
		return l.glyph("→")
	}
	return dim.Render(l.glyph("·"))
}

// logLines returns the newest lines of a log, newest first, in a window of a size.
func logLines(l Look, log []Line, width, height int) (out []string) {
	for i := len(log) - 1; i >= 0 && len(out) < height; i-- {
		n := log[i]
		s := " " + dim.Render(n.Time.Format("15:04:05")) + "  " + n.mark(l) + " " + l.text(Clean(n.Text))
		out = append(out, cut(s, width, l.glyph("…")))
	}
	return out
}

// dimmed returns a line without its colours, faint.
func dimmed(s string) string { return dim.Render(ansi.Strip(s)) }

// fill makes a frame of lines: exactly the height of the look, none wider than it.
func fill(l Look, lines []string) []string {
	for i := range lines {
		lines[i] = cut(lines[i], l.Width, l.glyph("…"))
	}
	for len(lines) < l.Height {
		lines = append(lines, "")
	}
	return lines[:l.Height]
}

// sides puts two texts at the ends of a line.
func sides(l Look, left, right string) string {
	room := l.Width - Width(left) - 1
	if Width(right) > room {
		return cut(left, l.Width, l.glyph("…"))
	}
	return left + strings.Repeat(" ", room-Width(right)) + right + " "
}

// keyHelp returns the line of keys: "key" bright, what it does dim. Those that find no room are left out, but for the
// last.
func keyHelp(l Look, keys [][2]string) string {
	show := func(k [2]string) string {
		return strings.TrimSuffix(bold.Render(l.text(k[0]))+" "+dim.Render(k[1]), " ")
	}
	last := show(keys[len(keys)-1])
	line := " "
	for _, k := range keys[:len(keys)-1] {
		s := show(k) + "  "
		if Width(line)+Width(s)+Width(last) > l.Width {
			continue
		}
		line += s
	}
	return line + last
}
