//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// row is what came of one network.
type row struct {
	network string
	variant variant
	nodes   int
	outcome outcome
	links   map[string]int
	took    time.Duration
	faults  []string // why it failed, beside tests
}

// table is what came of all networks.
type table struct{ rows []row }

func (t *table) String() string {
	var b strings.Builder
	b.WriteString("| network | nodes | which are ours | tests passed | at nodes | ends of links of ours | " +
		"bans, breakdowns | s |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		o := r.outcome
		fmt.Fprintf(&b, "| %s | %d | %s | %d of %d | %d of %d | %s | %d | %.0f |\n", r.network, r.nodes, r.variant,
			o.passed, o.passed+o.failed, o.nodesPassed, o.nodesPassed+o.nodesFailed, carriers(r.links), len(r.faults),
			r.took.Seconds())
	}
	for _, r := range t.rows {
		for _, f := range append(r.outcome.failures, r.faults...) {
			fmt.Fprintf(&b, "\n- %s, %s: %s", r.network, r.variant, f)
		}
	}
	return b.String() + "\n"
}

// verdict is an error if anything failed.
func (t *table) verdict() error {
	for _, r := range t.rows {
		if r.outcome.failed+r.outcome.nodesFailed+len(r.faults) > 0 || r.outcome.passed == 0 {
			return errors.New("not all passed")
		}
	}
	return nil
}
