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

// DrawCourse draws the attacker's share of the outbound links over time, for every policy under one attack.
func DrawCourse(w io.Writer, all []Result) error {
	c := newChart(fmt.Sprintf("An attacker with %s addresses in %d network groups", short(drawnSize), drawnGroups),
		"hours since he came (mean of the last four)")
	for i, policy := range Policies() {
		r := find(all, policy.Name, drawnGroups, drawnSize)
		if r == nil {
			continue
		}
		l := chart.Line{Name: policy.Name, Bold: i == 0}
		t := r.Attack.Time.withDefaults()
		for k := range r.Shares { // single links come and go
			from := max(0, k+1-int(4*60/t.Sample.Minutes()))
			l.Points = append(l.Points,
				chart.Point{X: (float64(k) + 0.5) * t.Sample.Hours(), Y: 100 * mean(r.Shares[from:k+1])})
		}
		c.Lines = append(c.Lines, l)
	}
	return c.Write(w)
}

// DrawSizes draws the share by the number of addresses, for all countermeasures by number of groups, and for the
// baselines.
func DrawSizes(w io.Writer, all []Result) error {
	c := newChart("The attacker's share in the second half of the attack", "addresses of the attacker")
	c.LogX = true
	line := func(name string, policy Policy, groups int, bold bool) {
		l := chart.Line{Name: name, Dots: true, Bold: bold}
		for _, n := range Sizes {
			if r := find(all, policy.Name, groups, n); r != nil {
				l.Points = append(l.Points, chart.Point{X: float64(n), Y: 100 * r.Share})
			}
		}
		if len(l.Points) > 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	policies := Policies()
	for _, groups := range GroupCounts {
		line(policies[0].Name+", "+plural(groups, "group"), policies[0], groups, true)
	}
	for _, baseline := range policies[len(policies)-2:] {
		line(baseline.Name, baseline, drawnGroups, false) // whatever the groups
	}
	return c.Write(w)
}

func newChart(title, x string) *chart.Chart {
	return &chart.Chart{Title: title, X: x, Y: "% of the outbound links", Low: 0, High: 100}
}
