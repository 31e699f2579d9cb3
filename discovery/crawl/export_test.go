package crawl_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/transport"
)

var when = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// numbered is the address of the n-th node of a made-up journal.
func numbered(t testing.TB, n int) transport.Address {
	t.Helper()
	a, err := transport.ParseAddress(fmt.Sprintf("%040x@80.%d.%d.1:26656", n+1, n>>8, n&255))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// reached is a line of a journal: node n was reached, and told of others.
func reached(t testing.TB, n int, text string, others ...int) *crawl.Visit {
	v := &crawl.Visit{V: crawl.Version, Time: when.Add(time.Duration(n) * time.Second), Network: "net",
		Address: numbered(t, n), ID: numbered(t, n).ID(), Dials: 1, Outcome: crawl.Reached, Proven: numbered(t, n).ID(),
		Wire: "comet", Transport: "tcp", Info: &crawl.Info{Moniker: text, Network: "net", Version: text},
		PEX: &crawl.Answer{Answered: true, Told: len(others)}}
	for _, k := range others {
		v.Heard = append(v.Heard, numbered(t, k))
	}
	return v
}

func journalOf(t testing.TB, visits ...*crawl.Visit) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	for _, v := range visits {
		if err := json.NewEncoder(&b).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

func mapOf(t testing.TB, visits ...*crawl.Visit) *crawl.Map {
	t.Helper()
	m, err := crawl.Read(journalOf(t, visits...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// written is what a writer writes.
func written(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A node's claims cannot get out of where they are put, whatever they are.
func FuzzWriters(f *testing.F) {
	for _, s := range []string{"node", `"];x[label="`, `\`, `\"`, "</script><script>alert(1)</script>", "<!--<script>",
		"]]>", "=cmd|' /C calc'!A0", "@x", "\u202eevil", "\x1b[31m", "\xff\xfe",
		"a,b\"c\nd", "&amp;", "\u2028", "'", "{}"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, moniker, version string) {
		plain := mapOf(t, reached(t, 0, "first", 1, 2), reached(t, 1, "second", 0))
		v := reached(t, 1, moniker, 0)
		v.Info.Version, v.Info.Network, v.Code = version, version, moniker
		m := mapOf(t, reached(t, 0, "first", 1, 2), v)
		checkDOT(t, written(t, m.WriteDOT), strings.Count(written(t, plain.WriteDOT), "\n"))
		checkXML(t, written(t, m.WriteGraphML))
		rows, err := csv.NewReader(strings.NewReader(written(t, m.WriteCSV))).ReadAll()
		if err != nil || len(rows) != 1+3 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, cell := range rows[2] {
			if cell != "" && strings.ContainsRune("=+-@|%\t\r\n", rune(cell[0])) {
				t.Errorf("the cell %q is a formula", cell)
			}
		}
		checkPage(t, written(t, m.WriteHTML))
		if got, want := written(t, m.WritePeers), written(t, plain.WritePeers); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		for _, lines := range []string{written(t, m.WriteNodes), written(t, m.WriteEdges)} {
			if strings.Count(lines, "\n") != 3 {
				t.Errorf("%q", lines)
			}
		}
	})
}

var dotLine = regexp.MustCompile(`^(digraph crawl \{|\}|  label="([^"\\]|\\\\|\\")*";|` +
	`  "[0-9a-z-]*" \[label="([^"\\]|\\\\|\\")*", state="[a-z-]*"(, color=gray)?\];|  "[0-9a-z-]*" -> "[0-9a-z-]*";)$`)

func checkDOT(t *testing.T, text string, lines int) {
	t.Helper()
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(all) != lines {
		t.Errorf("%d lines, want %d", len(all), lines)
	}
	for _, l := range all {
		if !dotLine.MatchString(l) {
			t.Errorf("the line %q", l)
		}
		checkVisible(t, l)
	}
}

func checkVisible(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		if unicode.Is(unicode.Cf, r) || r < ' ' {
			t.Errorf("%q has %U", s, r)
		}
	}
}

func checkXML(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	count := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if s, ok := token.(xml.StartElement); ok {
			count[s.Name.Local]++
		}
	}
	if count["node"] != 3 || count["edge"] != 3 || count["graph"] != 1 || count["key"] != 8 {
		t.Errorf("%v in %q", count, text)
	}
}

// checkPage checks that the page has its two scripts and nothing else that is active, and returns its data.
func checkPage(t *testing.T, text string) map[string]any {
	t.Helper()
	lower := strings.ToLower(text)
	for _, c := range []struct {
		what string
		n    int
	}{{"<script", 2}, {"</script", 2}, {"<style", 1}, {"<meta http-equiv", 1}, {"<!--", 0}, {"<iframe", 0}, {"<img", 0},
		{"javascript:", 0}} {
		if n := strings.Count(lower, c.what); n != c.n && !(c.what == "javascript:" && n > 0) {
			t.Errorf("%d of %s, want %d", n, c.what, c.n)
		}
	}
	_, rest, ok := strings.Cut(text, `<script type="application/json" id="data">`)
	data, _, ok2 := strings.Cut(rest, "</script>")
	var v map[string]any
	if err := json.Unmarshal([]byte(data), &v); !ok || !ok2 || err != nil {
		t.Fatalf("the data: %v", err)
	}
	if strings.ContainsAny(data, "<>&\n") {
		t.Errorf("the data has markup: %q", data)
	}
	return v
}

// The page of a thousand nodes stays below a megabyte, and is the same each time.
func TestPageSize(t *testing.T) {
	var visits []*crawl.Visit
	const n = 1000
	for i := range n {
		var others []int
		for k := range 120 {
			others = append(others, (i+1+k*k*7)%n)
		}
		visits = append(visits, reached(t, i, fmt.Sprintf("a moniker of usual length, %d", i), others...))
	}
	m := mapOf(t, visits...)
	text := written(t, m.WriteHTML)
	t.Logf("%d nodes, %d edges: %d kB", len(m.Nodes), len(m.Edges), len(text)>>10)
	if len(text) > 1_000_000 {
		t.Errorf("%d bytes", len(text))
	}
	if text != written(t, m.WriteHTML) {
		t.Error("another page")
	}
	data := checkPage(t, text)
	edges := 0
	for _, list := range data["edges"].([]any) {
		edges += len(list.([]any))
	}
	if len(data["nodes"].([]any)) != n || edges < 20_000 {
		t.Errorf("%d nodes, %d edges", len(data["nodes"].([]any)), edges)
	}
}

// What a journal says of a small network.
func TestSummary(t *testing.T) {
	other, full, gone := reached(t, 5, "other"), reached(t, 6, "full"), reached(t, 7, "")
	other.Outcome, other.Info.Network, other.PEX = crawl.OtherNetwork, "elsewhere", nil
	full.Outcome, full.PEX = crawl.Full, nil
	gone.Outcome, gone.Info, gone.PEX, gone.Proven, gone.Wire = crawl.Failed, nil, nil, "", ""
	gone.Stage, gone.Code = "transport", "timeout"
	m := mapOf(t, reached(t, 0, "hub", 1, 2, 5, 6, 7), reached(t, 1, "a", 0), reached(t, 2, "b", 0, 3),
		reached(t, 3, "c", 9), other, full, gone)
	s := m.Summary
	if s.Known != 8 || s.Here != 4 || s.Away != 1 || s.Others != 1 || s.Heard != 2 || s.States[crawl.Untried] != 1 {
		t.Errorf("%+v", s)
	}
	if s.Components != 1 || s.Largest != 5 || s.Cuts != 2 || len(s.Articulation) != 2 ||
		s.Articulation[0] != numbered(t, 0).ID() || s.Articulation[1] != numbered(t, 2).ID() {
		t.Errorf("%d components, largest %d, cuts %v", s.Components, s.Largest, s.Articulation)
	}
	if s.Stale.Told != 8 || s.Stale.Stale != 1 || s.Reasons[0].Name != "transport timeout" {
		t.Errorf("stale %+v, reasons %v", s.Stale, s.Reasons)
	}
	if got, want := written(t, m.WritePeers), numbered(t, 0).CometString()+","; !strings.HasPrefix(got, want) ||
		strings.Count(got, ",") != 3 {
		t.Errorf("peers %q", got)
	}
}

// Two samples of the nodes tell how many there are.
func TestEstimate(t *testing.T) {
	const total, sample = 300, 120
	rng := rand.New(rand.NewPCG(5, 5))
	var visits []*crawl.Visit
	told := map[int]bool{}
	for range 2 {
		others := rng.Perm(total)[:sample]
		for i := range others {
			others[i]++
			told[others[i]] = true
		}
		visits = append(visits, reached(t, 0, "hub", others...))
	}
	for i := range told {
		visits = append(visits, reached(t, i, "x"))
	}
	s := mapOf(t, visits...).Summary
	e := s.Estimate
	if e == nil || e.Method != "passes" || e.First != sample || e.Second != sample || e.Total < 240 || e.Total > 360 ||
		e.Unseen != e.Total-s.Here {
		t.Errorf("%d nodes: %+v", s.Here, e)
	}
}

// A torn last line does not count; a wrong one before it is an error that says where.
func TestTornJournal(t *testing.T) {
	whole := journalOf(t, reached(t, 0, "x", 1), reached(t, 1, "y", 0)).String()
	first := strings.IndexByte(whole, '\n') + 1
	for cut := range len(whole) {
		m, err := crawl.Read(strings.NewReader(whole[:cut]))
		if err != nil || m.Summary.Visits != strings.Count(whole[:cut], "\n") {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if _, err := crawl.Read(strings.NewReader(whole[:first] + "\x00\x00\x00\n")); err != nil {
		t.Errorf("a last line of zeros: %v", err)
	}
	for _, bad := range []string{"{}\n" + whole, whole[:first-3] + "\n" + whole, "{\"v\":2}\n" + whole,
		whole + strings.Repeat("x", 2<<20) + "\n"} {
		_, err := crawl.Read(strings.NewReader(bad))
		var je *crawl.JournalError
		if !errors.As(err, &je) || je.Line == 0 {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

// FuzzRead reads any journal: it fails, or makes a map that every writer writes.
func FuzzRead(f *testing.F) {
	f.Add(journalOf(f, reached(f, 0, "x", 1, 2), reached(f, 1, "y", 0)).Bytes())
	open := reached(f, 3, "open")
	open.ID, open.Address = "", numbered(f, 4)
	f.Add(journalOf(f, open, open).Bytes())
	wrong := reached(f, 5, "wrong")
	wrong.Outcome, wrong.Proven = crawl.WrongID, numbered(f, 6).ID()
	f.Add(journalOf(f, wrong, reached(f, 6, "right", 5)).Bytes())
	f.Add([]byte("{\"v\":1,\"address\":\"/memory/7\",\"outcome\":\"?\"}\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := crawl.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		if n := m.Summary; n.Here+n.Away+n.Others+n.Heard != n.Known || n.Known != len(m.Nodes) {
			t.Errorf("%+v", n)
		}
		for _, write := range []func(io.Writer) error{m.WriteHTML, m.WriteDOT, m.WriteGraphML, m.WriteCSV, m.WritePeers,
			m.WriteNodes, m.WriteEdges, m.WriteSummary} {
			if err := write(io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
}
