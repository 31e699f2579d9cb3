package live

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
)

var update = flag.Bool("update", false, "write the frames of testdata anew")

var noon = time.Date(2026, 11, 30, 12, 41, 7, 0, time.UTC)

// golden compares a frame with the one in testdata.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.TrimRight(ansi.Strip(line), " ") + "\n")
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s has changed (go test -update writes it anew):\n%s", name, b.String())
	}
}

// frame draws a frame and checks its shape.
func frame[D any](t *testing.T, s Screen[D], l Look) []string {
	t.Helper()
	lines := s.Frame(l)
	if len(lines) != l.Height {
		t.Errorf("%d lines, want %d", len(lines), l.Height)
	}
	for i, line := range lines {
		if w := Width(line); w > l.Width {
			t.Errorf("line %d has %d columns, more than %d: %s", i, w, l.Width, line)
		}
		if l.ASCII {
			for _, r := range ansi.Strip(line) {
				if r >= 0x80 {
					t.Errorf("line %d has %q: %s", i, r, line)
				}
			}
		}
	}
	return lines
}

var looks = []Look{{Width: 80, Height: 24}, {Width: 160, Height: 50}}

func size(l Look) string {
	if l.ASCII {
		return fmt.Sprintf("%dx%d-ascii", l.Width, l.Height)
	}
	return fmt.Sprintf("%dx%d", l.Width, l.Height)
}

// demoOf is a network of count nodes, of which some have stopped.
func demoOf(count int, stopped ...int) Demo {
	speaks := []string{"all", "comet", "libp2p tcp", "QUIC"}
	d := Demo{Now: noon, Up: 12 * time.Second, Formed: 1900 * time.Millisecond, All: true, Blocks: 1000,
		Page:  "http://127.0.0.1:26670/#token=" + strings.Repeat("5e", 32),
		Items: DemoItems{Sent: 170, Expected: 1204, Arrived: 1204, P50: 400 * time.Microsecond}}
	down := func(n int) bool {
		for _, s := range stopped {
			if s == n {
				return true
			}
		}
		return false
	}
	for a := range count {
		n := DemoNode{Number: a + 1, ID: fmt.Sprintf("%040x", 0x1234567+a*0x1111), Speaks: speaks[a%4],
			Port: fmt.Sprint(23001 + a), State: NodeRuns, Knows: count - 1, Blocks: 1000, In: float64(1500 * (a + 3)),
			Out: float64(1300 * (a + 4)), RTT: time.Duration(200+a*40) * time.Microsecond}
		for i := range 20 {
			n.Trend = append(n.Trend, float64((i*7+a*3)%11))
		}
		if down(n.Number) {
			n.State, n.For, n.Back = NodeStopped, 4*time.Second, 1500*time.Millisecond
		}
		for b := range count {
			if a == b {
				continue
			}
			k := DemoLink{To: b + 1, Age: 10 * time.Second, RTT: 300 * time.Microsecond, In: 900, Out: 41_000,
				Dials: a > b}
			wire := map[[2]int]Wire{{0, 0}: QUIC, {1, 1}: Comet, {2, 2}: TCP, {3, 3}: QUIC}
			switch x, y := min(a%4, b%4), max(a%4, b%4); {
			case down(n.Number) || down(b+1):
				k.State = LinkAway
			case wire[[2]int{x, y}] != NoWire:
				k.State, k.Wire = LinkUp, wire[[2]int{x, y}]
			case x == 0:
				k.State, k.Wire = LinkUp, wire[[2]int{y, y}]
			default:
				k.State = LinkNever
			}
			if a == 5 && b == 0 || a == 0 && b == 5 {
				k.State, k.Wire = LinkMissing, NoWire
			}
			if k.State == LinkUp || k.State == LinkMissing {
				if a < b {
					d.Possible++
				}
			}
			if k.State == LinkUp && a < b {
				d.Links++
				d.Wires.Add(k.Wire)
			}
			n.Links = append(n.Links, k)
		}
		d.Nodes = append(d.Nodes, n)
	}
	for i, line := range []Line{{Kind: LineNote, Text: "8 nodes start"},
		{Kind: LineComet, Text: "node 2 ↔ node 5   comet, 1.9 ms, found through node 1 (pex)"},
		{Kind: LineItem, Text: "item a41f from node 6: in 8 of 8 nodes after 2.1 ms"},
		{Kind: LineDown, Text: "node 4 killed: 4 links ended, 3 nodes noticed in 11 ms"}} {
		line.Time = noon.Add(time.Duration(i-4) * time.Second)
		d.Log = append(d.Log, line)
	}
	return d
}

func TestDemoFrames(t *testing.T) {
	for _, l := range append(looks, Look{Width: 120, Height: 30}, Look{Width: 80, Height: 24, ASCII: true},
		Look{Width: 100, Height: 24, ASCII: true}, Look{Width: minWidth, Height: minHeight}) {
		s := NewDemo("switchyard")
		s.Set(demoOf(8, 4))
		golden(t, "demo-"+size(l), frame(t, s, l))
		s.Key("down")
		s.Key("enter")
		golden(t, "demo-peers-"+size(l), frame(t, s, l))
		s.Key("esc")
		s.Key("?")
		golden(t, "demo-help-"+size(l), frame(t, s, l))
	}
	for _, l := range looks {
		s := NewDemo("switchyard")
		s.Set(demoOf(64, 4, 63))
		golden(t, "demo-64-"+size(l), frame(t, s, l))
		s.Set(Demo{})
		frame(t, s, l)
	}
	s := NewDemo("switchyard")
	s.Set(demoOf(8, 4))
	golden(t, "demo-last", s.Last(Look{Width: 100, Height: 24}))
	golden(t, "demo-line", []string{s.Line()})
}
