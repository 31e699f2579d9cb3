package main

import (
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// expectedText lists the tests that are known to fail: wire, suite, test, and why.
//
//go:embed expected.txt
var expectedText string

// failure is a test that fails over a wire.
type failure struct {
	wire wire
	test string
}

// reason is why a test fails.
type reason struct {
	why       string
	sometimes bool // it may as well pass
}

// readExpected reads lines of wires and a test, with the reason behind a colon. A wire with a question mark is one over
// which the test fails sometimes. A backslash joins a line with the next.
func readExpected(text string) (map[failure]reason, error) {
	expected := map[failure]reason{}
	text = strings.ReplaceAll(text, "\\\n  ", "")
	for i, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		what, why, ok := strings.Cut(l, ": ")
		fields := strings.Fields(what)
		if !ok || len(fields) != 2 {
			return nil, fmt.Errorf("expected.txt:%d: want WIRE,WIRE TEST: REASON", i+1)
		}
		for _, w := range strings.Split(fields[0], ",") {
			w, sometimes := strings.CutSuffix(w, "?")
			if !slices.Contains([]wire{stock, comet, quic}, wire(w)) {
				return nil, fmt.Errorf("expected.txt:%d: no wire %q", i+1, w)
			}
			expected[failure{wire(w), fields[1]}] = reason{why, sometimes}
		}
	}
	return expected, nil
}

// row is what came of a suite.
type row struct {
	suite   suite
	tests   int
	results map[wire]results
}

// report is what came of all suites.
type report struct {
	version string
	wires   []wire
	rows    []*row
}

// markdown returns the report as a table, with what failed below it.
func (r *report) markdown(expected map[failure]reason) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CometBFT %s\n\n| suite | tests |", r.version)
	for _, w := range r.wires {
		fmt.Fprintf(&b, " %s |", w)
	}
	b.WriteString(" links of ours |\n|---|---|" + strings.Repeat("---|", len(r.wires)+1) + "\n")
	tests, passed := 0, map[wire]int{}
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s | %d |", row.suite.name, row.tests)
		tests += row.tests
		var links []string
		for _, w := range r.wires {
			got := row.results[w]
			passed[w] += got.passed()
			fmt.Fprintf(&b, " %d |", got.passed())
			for _, carrier := range slices.Sorted(mapKeys(got.links)) {
				links = append(links, fmt.Sprintf("%s: %d %s", w, got.links[carrier], carrier))
			}
		}
		fmt.Fprintf(&b, " %s |\n", strings.Join(links, ", "))
	}
	fmt.Fprintf(&b, "| all | %d |", tests)
	for _, w := range r.wires {
		fmt.Fprintf(&b, " %d |", passed[w])
	}
	b.WriteString(" |\n")
	for _, l := range r.remarks(expected) {
		b.WriteString("\n- " + l)
	}
	return b.String() + "\n"
}

// remarks returns a line for each test that did not simply pass.
func (r *report) remarks(expected map[failure]reason) []string {
	var lines []string
	for _, row := range r.rows {
		for _, w := range r.wires {
			got := row.results[w].tests
			for _, name := range slices.Sorted(mapKeys(got)) {
				switch o := got[name]; {
				case o.state == "pass" && o.tries == 1:
				case o.state == "pass":
					lines = append(lines, fmt.Sprintf("%s, %s: passed at try %d", name, w, o.tries))
				case o.state == "skip":
					lines = append(lines, fmt.Sprintf("%s, %s: skips itself", name, w))
				default:
					why := expected[failure{w, name}].why
					if why == "" {
						why = "NOT EXPECTED (" + o.state + ")"
					}
					lines = append(lines, fmt.Sprintf("%s, %s: fails: %s", name, w, why))
				}
			}
		}
	}
	return lines
}

// judge returns an error for each test that did not end as expected. Whole says that all tests of the suites have run.
func (r *report) judge(expected map[failure]reason, whole bool) error {
	var errs []error
	for _, row := range r.rows {
		for _, w := range r.wires {
			got := row.results[w]
			if whole && len(got.tests) != row.tests {
				errs = append(errs, fmt.Errorf("%s over %s: %d of %d tests ran", row.suite.name, w, len(got.tests),
					row.tests))
			}
			for _, name := range got.failed() {
				if expected[failure{w, name}].why == "" {
					errs = append(errs, fmt.Errorf("%s over %s: %s", name, w, got.tests[name].state))
				}
			}
			for f, r := range expected {
				if o := got.tests[f.test]; f.wire == w && o != nil && o.state == "pass" && !r.sometimes {
					errs = append(errs, fmt.Errorf("%s over %s passes; expected.txt says: %s", f.test, w, r.why))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
