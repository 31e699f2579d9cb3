package eclipse

import (
	"fmt"
	"io"

	"github.com/switchyard-p2p/switchyard/internal/chart"
)

const (
	drawnSize   = 100_000 // the attack whose course is drawn
	drawnGroups = 16
)

// DrawCourse draws the attacker's share of outbound links over time for every policy, under one attack.
func DrawCourse(w io.Writer, all []Result) error {
	c := newChart(fmt.Sprintf("An attacker with %s addresses in %d network groups", short(drawnSize), drawnGroups), "hours since he came (mean of the last four)")
	for i, policy := range Policies() {
		r := find(all, policy.Name, drawnGroups, drawnSize)
		if r == nil {
			continue
		}
		l := chart.Line{Name: policy.Name, Bold: i == 0}
		t := r.Attack.Time.withDefaults()
		for k := range r.Shares { // single links come and go
			from := max(0, k+1-int(4*60/t.Sample.Minutes()))
			l.Points = append(l.Points, chart.Point{X: (float64(k) + 0.5) * t.Sample.Hours(), Y: 100 * mean(r.Shares[from:k+1])})
		}
		c.Lines = append(c.Lines, l)
	}
	return c.Write(w)
}

// DrawSizes draws the share against the number of addresses, for all countermeasures and for the baselines, with few and with many groups.
func DrawSizes(w io.Writer, all []Result) error {
	c := newChart("The attacker's share in the second half of the attack", "addresses of the attacker")
	c.LogX = true
	policies := Policies()
	for i, policy := range []Policy{policies[0], policies[len(policies)-2], policies[len(policies)-1]} {
		for _, groups := range []int{1, 16, 64} {
			l := chart.Line{Name: policy.Name + ", " + plural(groups, "group"), Dots: true, Bold: i == 0}
			for _, n := range Sizes {
				if r := find(all, policy.Name, groups, n); r != nil {
					l.Points = append(l.Points, chart.Point{X: float64(n), Y: 100 * r.Share})
				}
			}
			if len(l.Points) > 0 {
				c.Lines = append(c.Lines, l)
			}
		}
	}
	return c.Write(w)
}

func newChart(title, x string) *chart.Chart {
	return &chart.Chart{Title: title, X: x, Y: "% of the outbound links", Low: 0, High: 100}
}
