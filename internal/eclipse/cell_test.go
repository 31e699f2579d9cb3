package eclipse

import (
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"
)

var cells = flag.String("cells", "",
	"run these cells of the grid, as groups x addresses (16x100000,64x100000), each with -seeds seeds")

// TestCells prints a few cells of the grid, with the spread between seeds, to show what a change of a countermeasure
// does.
//
//	go test -v -run '^TestCells$' . -cells 16x100000,64x100000 -seeds 12
func TestCells(t *testing.T) {
	var attacks []Attack
	for cell := range strings.SplitSeq(*cells, ",") {
		var a Attack
		if *cells == "" { // with no flag, one short run keeps the program working
			a = Attack{Groups: 4, Addresses: 100, Time: Times{Peace: 1, War: 1 << 42, Restart: 1 << 41}}
			*seeds = 1
		} else if _, err := fmt.Sscanf(cell, "%dx%d", &a.Groups, &a.Addresses); err != nil {
			t.Fatalf("-cells: %q is not like 16x100000", cell)
		}
		a.Policy = Policies()[0]
		for seed := range *seeds {
			a.Seed = uint64(seed + 1)
			attacks = append(attacks, a)
		}
	}
	all := runAll(t, attacks)
	for i, m := range Merge(all, *seeds) {
		squares := 0.0
		for _, r := range all[i**seeds : (i+1)**seeds] {
			squares += (r.Share - m.Share) * (r.Share - m.Share)
		}
		t.Logf("%d groups, %d addresses, %d seeds: share %.3f (standard error %.3f), worst hour %.2f, eclipsed %.3f "+
			"of the time, %.2f links",
			m.Attack.Groups, m.Attack.Addresses, *seeds,
			m.Share, math.Sqrt(squares)/float64(*seeds), m.Worst, m.Whole, m.Links)
		if m.Links < Slots-1 {
			t.Errorf("only %.1f outbound links", m.Links)
		}
	}
}
