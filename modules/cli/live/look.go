package live

import (
	"runtime"
	"strings"

	"charm.land/lipgloss/v2"
)

// Look is how a frame is drawn: its size, and whether the terminal shows more than ASCII.
type Look struct {
	Width, Height int
	ASCII         bool
}

// The smallest frame that is drawn; a smaller terminal shows its upper left part.
const minWidth, minHeight = 40, 10

// Wire is the wire and transport of a link.
type Wire int

// The wires of links.
const (
	NoWire Wire = iota
	Comet
	TCP  // libp2p over TCP
	QUIC // libp2p over QUIC
)

// WireOf returns the wire of a link by the names of its wire and transport.
func WireOf(wire, transport string) Wire {
	switch {
	case wire == "comet":
		return Comet
	case transport == "quic":
		return QUIC
	}
	return TCP
}

func (w Wire) String() string { return [...]string{"none", "comet", "libp2p", "QUIC"}[w] }

// Letter returns the wire in ASCII: C, L or Q.
func (w Wire) Letter() string { return [...]string{".", "C", "L", "Q"}[w] }

// Wires counts links by their wire.
type Wires struct {
	Comet int `json:"comet"`
	TCP   int `json:"tcp"`
	QUIC  int `json:"quic"`
}

// Add counts one link.
func (w *Wires) Add(of Wire) {
	switch of {
	case Comet:
		w.Comet++
	case TCP:
		w.TCP++
	case QUIC:
		w.QUIC++
	}
}

// Sum returns how many links there are.
func (w Wires) Sum() int { return w.Comet + w.TCP + w.QUIC }

// Colours come from the terminal's own sixteen, so they suit its theme. Shapes and words say the same.
var (
	plain  = lipgloss.NewStyle()
	bold   = plain.Bold(true)
	dim    = plain.Faint(true)
	red    = plain.Foreground(lipgloss.Red)
	green  = plain.Foreground(lipgloss.Green)
	yellow = plain.Foreground(lipgloss.Yellow)
	blue   = plain.Foreground(lipgloss.Blue)
	teal   = plain.Foreground(lipgloss.Cyan)
	chosen = plain.Bold(true)
)

func (w Wire) style() lipgloss.Style { return [...]lipgloss.Style{dim, yellow, blue, teal}[w] }

// glyphs are the characters beyond ASCII, beside what stands for them.
var glyphs = map[string]string{"●": "C", "■": "L", "◆": "Q", "○": "o", "·": ".", "✗": "x",
	"✓": "+", "→": ">", "↔": "-", "─": "-", "│": "|", "█": "#", "▸": ">", "…": "~",
	"↑": "^", "↓": "v"}

func (l Look) glyph(g string) string {
	if !l.ASCII {
		return g
	}
	return glyphs[g]
}

// wire returns the mark of a wire, coloured.
func (l Look) wire(w Wire) string {
	if l.ASCII {
		return w.style().Render(w.Letter())
	}
	return w.style().Render([...]string{"·", "●", "■", "◆"}[w])
}

// text returns s as the terminal can show it: in ASCII if it has no more.
func (l Look) text(s string) string {
	if !l.ASCII {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch g, ok := glyphs[string(r)]; {
		case r < 0x80:
			b.WriteRune(r)
		case ok:
			b.WriteString(g)
		default:
			b.WriteString(strings.Repeat("?", max(1, Width(string(r)))))
		}
	}
	return b.String()
}

// rule returns a horizontal line.
func (l Look) rule(width int) string {
	return dim.Render(strings.Repeat(l.glyph("─"), max(0, width)))
}

// bar returns a bar of width columns, part of whole filled.
func (l Look) bar(part, whole, width int) (filled, rest string) {
	n := 0
	if whole > 0 {
		n = min(width, (part*width+whole-1)/whole)
	}
	return strings.Repeat(l.glyph("█"), n), strings.Repeat(l.glyph("·"), width-n)
}

// spark draws the last width of values as a line of bars, scaled to the highest.
func (l Look) spark(values []float64, width int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if l.ASCII {
		levels = []rune("_.-=*#")
	}
	values = values[max(0, len(values)-width):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	for _, v := range values {
		at := 0
		if top > 0 {
			at = int(max(0, v) / top * float64(len(levels)-1))
		}
		b.WriteRune(levels[at])
	}
	return b.String()
}

// isUTF8 reports whether the locale of an environment has UTF-8.
func isUTF8(env []string) bool {
	if runtime.GOOS == "windows" {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := lookup(env, name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// lookup returns the last value of an environment variable, "" if there is none.
func lookup(env []string, name string) (value string) {
	for _, e := range env {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			value = v
		}
	}
	return value
}
