package eclipse

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
)

//go:embed report.md.tmpl
var reportText string

// WriteReport writes docs/eclipse.md.
func WriteReport(w io.Writer, all []Result, seeds int) error {
	t, err := template.New("report").Parse(reportText)
	if err != nil {
		return err
	}
	times := Times{}.withDefaults()
	hours := func(d time.Duration) string { return fmt.Sprint(int(d.Hours())) }
	return t.Execute(w, map[string]any{
		"Tables": tables(all), "Seeds": plural(seeds, "seed"), "Peace": hours(times.Peace), "War": hours(times.War),
		"Restart": hours(times.Restart), "Slots": Slots,
		"Nodes": honestNodes, "Groups": honestGroups, "Online": percent(online), "Room": percent(hasRoom),
		"Lasts":    hours(honestLink),
		"Poisoned": percent(poisoned), "Callers": attackInbound, "Visit": hours(attackVisit), "Answer": attackAnswer,
		"Honest": honestInbound,
	})
}

func percent(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) }

// tables returns a table for each number of groups: a row for each policy, a column for each number of addresses.
func tables(all []Result) string {
	var b strings.Builder
	for _, groups := range GroupCounts {
		fmt.Fprintf(&b, "### %s\n\n|", plural(groups, "network group"))
		for _, n := range Sizes {
			fmt.Fprintf(&b, " | %s addresses", short(n))
		}
		b.WriteString(" |\n|---|" + strings.Repeat("---|", len(Sizes)) + "\n")
		for _, p := range Policies() {
			fmt.Fprintf(&b, "| %s", p.Name)
			for _, n := range Sizes {
				if r := find(all, p.Name, groups, n); r != nil {
					fmt.Fprintf(&b, " | %.0f (%.0f)", 100*r.Share, 100*r.Whole)
				} else {
					b.WriteString(" | ")
				}
			}
			b.WriteString(" |\n")
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short is 1k, 10k, 1M.
func short(n int) string {
	if n%1_000_000 == 0 {
		return fmt.Sprintf("%dM", n/1_000_000)
	}
	return fmt.Sprintf("%dk", n/1000)
}
