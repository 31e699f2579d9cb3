package main

import (
	"fmt"
	"slices"
	"strings"
)

// figure is something that an exercise measured.
type figure struct {
	name  string // with its unit
	value float64
}

// measured adds a figure to the network's.
func (w *network) measured(name string, value float64) {
	w.figures = append(w.figures, figure{name, value})
}

// medians returns, for each case of each release, the median of every figure over the rounds, in Markdown. Cases are
// columns, for that is how they are compared.
func (t *table) medians() string {
	var b strings.Builder
	var versions []string
	for _, r := range t.rows {
		if len(r.figures) > 0 && !slices.Contains(versions, r.version) {
			versions = append(versions, r.version)
		}
	}
	for _, v := range versions {
		var cases, names []string
		values := map[[2]string][]float64{}
		for _, r := range t.rows {
			if r.version != v || r.err != nil || len(r.figures) == 0 {
				continue
			}
			if !slices.Contains(cases, r.name) {
				cases = append(cases, r.name)
			}
			for _, f := range r.figures {
				name := r.exercise + ": " + f.name
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				values[[2]string{name, r.name}] = append(values[[2]string{name, r.name}], f.value)
			}
		}
		fmt.Fprintf(&b, "\n| CometBFT %s, medians | %s |\n|---%s|\n", v, strings.Join(cases, " | "),
			strings.Repeat("|---", len(cases)))
		for _, name := range names {
			fmt.Fprintf(&b, "| %s |", name)
			for _, c := range cases {
				fmt.Fprintf(&b, " %s |", median(values[[2]string{name, c}]))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// median returns the median as text, and how many values it is of if that is not one.
func median(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	slices.Sort(values)
	m := values[len(values)/2]
	if len(values)%2 == 0 {
		m = (m + values[len(values)/2-1]) / 2
	}
	return fmt.Sprintf("%.4g", m)
}
