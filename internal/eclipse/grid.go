package eclipse

import (
	"encoding/csv"
	"io"
	"strconv"
)

// Sizes and GroupCounts are the numbers of addresses and groups in the grid.
var (
	Sizes       = []int{1_000, 10_000, 100_000, 1_000_000}
	GroupCounts = []int{1, 4, 16, 64}
)

// Grid returns every policy under every attack, with each seed.
func Grid(seeds int) (all []Attack) {
	for _, p := range Policies() {
		for _, groups := range GroupCounts {
			for _, n := range Sizes {
				for seed := range seeds {
					all = append(all, Attack{Addresses: n, Groups: groups, Policy: p, Seed: uint64(seed + 1)})
				}
			}
		}
	}
	return all
}

// Merge returns the means over the seeds of each attack.
func Merge(all []Result, seeds int) (merged []Result) {
	for ; len(all) >= seeds; all = all[seeds:] {
		m := Result{Attack: all[0].Attack, Shares: make([]float64, len(all[0].Shares))}
		for _, r := range all[:seeds] {
			for i, s := range r.Shares {
				m.Shares[i] += s / float64(seeds)
			}
			for _, f := range []struct {
				sum *float64
				v   float64
			}{{&m.Share, r.Share}, {&m.Worst, r.Worst}, {&m.Whole, r.Whole}, {&m.His, r.His}, {&m.Links, r.Links}} {
				*f.sum += f.v / float64(seeds)
			}
			m.Known += r.Known / seeds
		}
		merged = append(merged, m)
	}
	return merged
}

// find returns the result of one cell of the grid.
func find(all []Result, policy string, groups, addresses int) *Result {
	for i := range all {
		a := &all[i].Attack
		if a.Policy.Name == policy && a.Groups == groups && a.Addresses == addresses {
			return &all[i]
		}
	}
	return nil
}

// WriteCSV writes a line for each run.
func WriteCSV(w io.Writer, all []Result) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"policy", "addresses", "groups",
		"share", "worst hour", "eclipsed", "known", "of them his", "links"})
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	for _, r := range all {
		a := r.Attack
		_ = c.Write([]string{a.Policy.Name, strconv.Itoa(a.Addresses), strconv.Itoa(a.Groups), f(r.Share), f(r.Worst),
			f(r.Whole), strconv.Itoa(r.Known), f(r.His), f(r.Links)})
	}
	c.Flush()
	return c.Error()
}
