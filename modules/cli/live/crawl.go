package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/progress"
	"charm.land/lipgloss/v2"
)

// crawlLog is how many lines of its log a crawl screen keeps.
const crawlLog = 200

// Count is how often a name occurs.
type Count struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

// Crawl is a crawl of a network at one time.
type Crawl struct {
	Network string        `json:"network"`
	Now     time.Time     `json:"time"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Limit   time.Duration `json:"limit_ns,omitempty"` // 0: none
	Dials   int           `json:"dials"`
	Budget  int           `json:"budget,omitempty"` // of dials; 0: no bound
	Dialing int           `json:"dialing"`
	Workers int           `json:"workers"`
	Waiting int           `json:"waiting"` // addresses that are still to be dialed
	// Nodes are all that the crawl knows of; each is one of those that follow, or waits.
	Nodes     int     `json:"nodes"`
	Reachable int     `json:"reachable"`
	SeenOnly  int     `json:"seen_only"`
	Refused   int     `json:"refused"`
	Other     int     `json:"other_network"`
	Dead      int     `json:"dead"`
	Edges     int     `json:"edges"`
	Wires     Wires   `json:"wires"`    // of the reachable nodes
	Versions  []Count `json:"versions"` // most first
	Why       []Count `json:"why"`      // failures by reason, most first
	Log       []Line  `json:"-"`        // oldest first
	Done      bool    `json:"done"`
	Note      string  `json:"note,omitempty"`
}

// CrawlScreen shows a Crawl.
type CrawlScreen struct {
	data  Crawl
	now   time.Time
	input input
	name  string
}

// NewCrawl returns the screen of a crawl.
func NewCrawl() *CrawlScreen { return &CrawlScreen{name: "switchyard"} }

// Set implements Screen.
func (s *CrawlScreen) Set(c Crawl) {
	c.Log = c.Log[max(0, len(c.Log)-crawlLog):]
	s.data = c
}

// Tick implements Screen.
func (s *CrawlScreen) Tick(now time.Time) { s.now = now }

// Notice implements Screen.
func (s *CrawlScreen) Notice(text string) { s.input.notice = text }

// Key implements Screen.
func (s *CrawlScreen) Key(name string) Action {
	if a, taken := s.input.key(name); taken {
		return a
	}
	if name == "q" {
		return Quit{}
	}
	return nil
}

// JSON implements Screen.
func (s *CrawlScreen) JSON() any { return s.data }

// Line implements Screen.
func (s *CrawlScreen) Line() string {
	c := &s.data
	text := fmt.Sprintf("%6s  %s: %d reachable, %d seen only, %d refused, %d of another network, %d dead; %s, "+
		"%d dialing, %d waiting", clock(c.Elapsed), plural(c.Nodes, "node"), c.Reachable, c.SeenOnly, c.Refused,
		c.Other, c.Dead, plural(c.Dials, "dial"), c.Dialing, c.Waiting)
	if c.Note != "" {
		text += "; " + Clean(c.Note)
	}
	return text
}

// Frame implements Screen.
func (s *CrawlScreen) Frame(l Look) []string {
	lines := s.top(l)
	lines = lines[:min(len(lines), max(3, l.Height-3))]
	lines = append(lines, l.rule(l.Width))
	log := s.data.Log
	if f := s.input.filter; f != "" {
		log = slices.DeleteFunc(slices.Clone(log), func(n Line) bool { return !s.input.matches(n.Text) })
	}
	room := max(0, l.Height-len(lines)-2)
	news := logLines(l, log, l.Width, room)
	lines = append(lines, news...)
	for range room - len(news) {
		lines = append(lines, "")
	}
	keys := [][2]string{{"/", "filter"}, {"q", "stop, with what there is"}}
	lines = append(lines, l.rule(l.Width), s.input.line(l, keys))
	return fill(l, lines)
}

// Last implements Screen: nothing, as the command prints the map that it has made.
func (s *CrawlScreen) Last(Look) []string { return nil }

func (s *CrawlScreen) top(l Look) []string {
	c := &s.data
	state := fmt.Sprintf("%d/%d dialing", c.Dialing, c.Workers)
	if c.Done {
		state = green.Render(l.text("✓ done"))
	}
	network := l.text(Clean(c.Network))
	if network == "" {
		network = "any network"
	}
	left := fmt.Sprintf(" %s %s   %s   up %s   %s   %s waiting", bold.Render(s.name), bold.Render("crawl"), network,
		clock(c.Elapsed), state, count(c.Waiting))
	lines := []string{sides(l, left, yellow.Render(l.text(Clean(c.Note)))), s.budget(l)}
	lines = append(lines, l.rule(l.Width),
		fmt.Sprintf(" %s   %s reachable   %s   %s edges", bold.Render(plural(c.Nodes, "node")),
			green.Render(count(c.Reachable)), fmt.Sprintf("%s comet %d  %s libp2p %d  %s QUIC %d", l.wire(Comet),
				c.Wires.Comet, l.wire(TCP), c.Wires.TCP, l.wire(QUIC), c.Wires.QUIC), count(c.Edges)))
	total := max(1, c.Nodes)
	parts := []struct {
		name string
		n    int
		draw lipgloss.Style
	}{{"reachable", c.Reachable, green}, {"seen only", c.SeenOnly, plain}, {"refused", c.Refused, yellow},
		{"other network", c.Other, yellow}, {"dead", c.Dead, red}}
	width := max(8, min(40, l.Width/3))
	right := s.counts(l, len(parts), l.Width-width-26)
	for i, p := range parts {
		filled, rest := l.bar(p.n, total, width)
		left := fmt.Sprintf(" %-13s %7s  %s", p.name, count(p.n), p.draw.Render(filled)+dim.Render(rest))
		lines = append(lines, pad(left, width+25, false)+right[i])
	}
	return lines
}

// counts returns n lines of the versions and the reasons of failures that occur most.
func (s *CrawlScreen) counts(l Look, n, width int) []string {
	out := make([]string, n)
	half := width / 2
	if half < 12 {
		return out
	}
	cell := func(list []Count, i int) string {
		if i >= len(list) {
			return ""
		}
		number := count(list[i].N)
		return number + " " + cut(l.text(Clean(list[i].Name)), half-len(number)-2, l.glyph("…"))
	}
	for i := range out {
		out[i] = pad(cell(s.data.Versions, i), half, false) + dim.Render(cell(s.data.Why, i))
	}
	return out
}

// budget draws what is used of the dials and the time.
func (s *CrawlScreen) budget(l Look) string {
	c := &s.data
	text := " " + plural(c.Dials, "dial")
	part := 0.0
	if c.Budget > 0 {
		text = fmt.Sprintf(" %s/%s dials", count(c.Dials), count(c.Budget))
		part = float64(c.Dials) / float64(c.Budget)
	}
	if c.Limit > 0 {
		text += fmt.Sprintf("   %s of %s", clock(c.Elapsed), clock(c.Limit))
		part = max(part, float64(c.Elapsed)/float64(c.Limit))
	}
	if c.Budget == 0 && c.Limit == 0 {
		return text + "   no limit"
	}
	full, empty := '█', '·'
	if l.ASCII {
		full, empty = '#', '.'
	}
	width := min(40, l.Width-Width(text)-4)
	if width < 8 {
		return text
	}
	bar := progress.New(progress.WithWidth(width), progress.WithoutPercentage(), progress.WithColors(lipgloss.Cyan),
		progress.WithFillCharacters(full, empty))
	return text + "   " + strings.TrimSpace(bar.ViewAs(min(1, max(0, part))))
}
