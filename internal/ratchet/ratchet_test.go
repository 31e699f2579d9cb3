package ratchet

import (
	"fmt"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/switchyard-p2p/switchyard"
)

// figure is something that is counted. The test fails when it is above bound.
type figure struct {
	name  string
	now   int
	where []string // what is counted, or what is largest, to begin with
}

// bounds holds the bound of each figure. Lower a bound when its figure has fallen for good; a new figure starts at its
// value.
var bounds = map[string]struct {
	bound int // the test fails above it
	want  int // the aim; where bound is larger, the tree is not there yet
}{
	"optional interfaces":                    {3, 3},
	"interfaces in muxer":                    {8, 8},
	"methods of a type":                      {40, 40},
	"lines of a file":                        {500, 500},
	"lines over 120 columns":                 {0, 0},
	"lines of the peer store's core":         {4300, 4300},
	"lines of peerstore/badger":              {1929, 1600},
	"assembly files":                         {0, 0},
	"functions that three echoes run":        {70, 70},
	"files that three echoes run through":    {24, 24},
	"functions that a dial runs, to its end": {480, 480},
}

// TestRatchets counts everything and holds it to its bound.
func TestRatchets(t *testing.T) {
	var all []figure
	all = append(all, interfaces(t)...)
	all = append(all, tree(t)...)
	all = append(all, paths(t)...)
	var table strings.Builder
	seen := map[string]bool{}
	fmt.Fprintf(&table, "%-40s %6s %6s %6s\n", "figure", "now", "bound", "want")
	for _, f := range all {
		b, ok := bounds[f.name]
		if !ok {
			t.Errorf("%s has no bound", f.name)
		}
		seen[f.name] = true
		fmt.Fprintf(&table, "%-40s %6d %6d %6d\n", f.name, f.now, b.bound, b.want)
		if f.now > b.bound {
			t.Errorf("%s: %d, more than %d:\n\t%s", f.name, f.now, b.bound, strings.Join(f.where, "\n\t"))
		} else if f.now > b.want {
			t.Logf("%s: %d, more than the wanted %d:\n\t%s", f.name, f.now, b.want, strings.Join(f.where, "\n\t"))
		} else if len(f.where) > 0 {
			t.Logf("%s:\n\t%s", f.name, strings.Join(f.where, "\n\t"))
		}
		if b.bound < b.want {
			t.Errorf("%s: the bound %d is below %d, which would do", f.name, b.bound, b.want)
		}
	}
	for name := range bounds {
		if !seen[name] {
			t.Errorf("%s is not counted", name)
		}
	}
	t.Logf("\n%s", &table)
}
