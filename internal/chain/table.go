package main

import (
	"fmt"
	"strings"
	"time"
)

// row is the outcome of one exercise.
type row struct {
	version, name, exercise, note string
	took                          time.Duration
	err                           error
	figures                       []figure
}

func (r row) verdict() string {
	if r.err != nil {
		return "FAIL"
	}
	return "ok"
}

// table holds all outcomes.
type table struct{ rows []row }

// add writes an outcome down and prints it.
func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	fmt.Printf("%-4s %-8s %-9s %-10s %4.0fs  %s\n", r.verdict(), r.version, r.name, r.exercise, r.took.Seconds(),
		r.note)
	if r.err != nil {
		fmt.Println("     " + strings.ReplaceAll(r.err.Error(), "\n", "\n     "))
	}
}

// String returns the table in Markdown.
func (t *table) String() string {
	var b strings.Builder
	b.WriteString("\n| CometBFT | network | exercise | | s | |\n|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.0f | %s |\n", r.version, r.name, r.exercise, r.verdict(),
			r.took.Seconds(), r.note)
	}
	return b.String() + t.medians()
}

// verdict returns an error if an exercise failed.
func (t *table) verdict() error {
	failed := 0
	for _, r := range t.rows {
		if r.err != nil {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d failed", failed, len(t.rows))
	}
	return nil
}
