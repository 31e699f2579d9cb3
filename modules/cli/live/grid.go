package live

import (
	"slices"
	"strings"
)

// column is one of a grid.
type column struct {
	head  string
	right bool // aligned to the right
	// drop tells which columns go first when there is no room: the highest. 0 never goes.
	drop int
	most int // columns at most; 0: what the cells need. The cells of a flexible column are cut
	flex int // above 0: it may shrink to this width before any column goes
}

// grid lays rows out in columns that fit a width.
type grid struct {
	columns []column
	rows    []row
}

// row is a line of a grid: its cells, or text that begins at a column and goes on to the right edge.
type row struct {
	mark  string // in the first column of the screen
	cells []string
	from  int    // with text: where it begins
	text  string // "": there is none
	dim   bool
}

// lines returns the grid's head and rows, each of at most width columns.
func (g *grid) lines(l Look, width int) (head string, rows []string) {
	widths := make([]int, len(g.columns))
	for i, c := range g.columns {
		widths[i] = Width(c.head)
		for _, r := range g.rows {
			if i < len(r.cells) && (r.text == "" || i < r.from) {
				widths[i] = max(widths[i], Width(r.cells[i]))
			}
		}
		if c.most > 0 {
			widths[i] = min(widths[i], max(c.most, Width(c.head)))
		}
	}
	shown := make([]bool, len(g.columns))
	for i := range shown {
		shown[i] = true
	}
	total := func() (n int) {
		for i, w := range widths {
			if shown[i] {
				n += w + 2
			}
		}
		return max(0, n-2) + 1 // the mark
	}
	shrink := func() {
		for i, c := range g.columns {
			if over := total() - width; shown[i] && c.flex > 0 && over > 0 {
				widths[i] = max(min(widths[i], c.flex), widths[i]-over)
			}
		}
	}
	for {
		shrink()
		if total() <= width {
			break
		}
		worst := -1
		for i, c := range g.columns {
			if shown[i] && c.drop > 0 && (worst < 0 || c.drop > g.columns[worst].drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		shown[worst] = false
	}
	heads := make([]string, len(g.columns))
	for i, c := range g.columns {
		heads[i] = c.head
	}
	line := func(r row) string {
		var b strings.Builder
		mark := r.mark
		if mark == "" {
			mark = " "
		}
		b.WriteString(mark)
		for i, c := range g.columns {
			if r.text != "" && i >= r.from {
				b.WriteString(r.text)
				break
			}
			if !shown[i] || i >= len(r.cells) {
				continue
			}
			b.WriteString(pad(cut(r.cells[i], widths[i], l.glyph("…")), widths[i], c.right))
			if slices.Contains(shown[i+1:], true) {
				b.WriteString("  ")
			}
		}
		return cut(strings.TrimRight(b.String(), " "), width, l.glyph("…"))
	}
	head = dim.Render(line(row{cells: heads}))
	for _, r := range g.rows {
		s := line(r)
		if r.dim {
			s = dimmed(s)
		}
		rows = append(rows, s)
	}
	return head, rows
}

// window returns which of n rows a window of size rows shows, so that chosen is among them.
func window(n, size, chosen int) (from, to int) {
	if n <= size {
		return 0, n
	}
	from = max(0, min(chosen-size/2, n-size))
	return from, from + size
}
