package suitekit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Failure is a test that fails with a variant of what it runs over.
type Failure struct{ Variant, Test string }

// Reason is why a test fails.
type Reason struct {
	Why       string
	Sometimes bool // it may as well pass
}

// Expected are the failures that are known.
type Expected map[Failure]Reason

// ReadExpected reads lines of variants and a test, with the reason behind a colon. With a variant that has a question
// mark the test fails sometimes. A backslash joins a line with the next.
func ReadExpected(text string, variants []string) (Expected, error) {
	expected := Expected{}
	text = strings.ReplaceAll(text, "\\\n  ", "")
	for i, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		what, why, ok := strings.Cut(l, ": ")
		fields := strings.Fields(what)
		if !ok || len(fields) != 2 {
			return nil, fmt.Errorf("expected.txt:%d: want VARIANT,VARIANT TEST: REASON", i+1)
		}
		for _, v := range strings.Split(fields[0], ",") {
			v, sometimes := strings.CutSuffix(v, "?")
			if !slices.Contains(variants, v) {
				return nil, fmt.Errorf("expected.txt:%d: %q is none of %v", i+1, v, variants)
			}
			expected[Failure{v, fields[1]}] = Reason{why, sometimes}
		}
	}
	return expected, nil
}

// Row is what came of a suite.
type Row struct {
	Suite   string
	Tests   int
	Results map[string]Results // by variant
}

// Report is what came of all suites.
type Report struct {
	Title    string
	Variants []string
	Rows     []*Row
	// Whole says that all tests of the suites have run.
	Whole bool
}

// Markdown returns the report as a table, with what failed below it.
func (r *Report) Markdown(expected Expected) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| suite | tests |", r.Title)
	for _, v := range r.Variants {
		fmt.Fprintf(&b, " %s |", v)
	}
	b.WriteString(" links of ours |\n|---|---|" + strings.Repeat("---|", len(r.Variants)+1) + "\n")
	tests, passed := 0, map[string]int{}
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %d |", row.Suite, row.Tests)
		tests += row.Tests
		var links []string
		for _, v := range r.Variants {
			got, ok := row.Results[v]
			if !ok {
				b.WriteString("  |")
				continue
			}
			passed[v] += got.Passed()
			fmt.Fprintf(&b, " %d |", got.Passed())
			for _, carrier := range sortedKeys(got.Links) {
				links = append(links, fmt.Sprintf("%s: %d %s", v, got.Links[carrier], carrier))
			}
		}
		fmt.Fprintf(&b, " %s |\n", strings.Join(links, ", "))
	}
	fmt.Fprintf(&b, "| all | %d |", tests)
	for _, v := range r.Variants {
		fmt.Fprintf(&b, " %d |", passed[v])
	}
	b.WriteString(" |\n")
	for _, l := range r.remarks(expected) {
		b.WriteString("\n- " + l)
	}
	return b.String() + "\n"
}

// remarks returns a line for each test that did not simply pass.
func (r *Report) remarks(expected Expected) []string {
	var lines []string
	for _, row := range r.Rows {
		for _, v := range r.Variants {
			got := row.Results[v].Tests
			for _, name := range sortedKeys(got) {
				switch o := got[name]; {
				case o.State == "pass" && o.Tries == 1:
				case o.State == "pass":
					lines = append(lines, fmt.Sprintf("%s, %s: passed at try %d", name, v, o.Tries))
				case o.State == "skip":
					lines = append(lines, fmt.Sprintf("%s, %s: skips itself", name, v))
				default:
					why := cmp.Or(expected[Failure{v, name}].Why, "NOT EXPECTED ("+o.State+")")
					lines = append(lines, fmt.Sprintf("%s, %s: fails: %s", name, v, why))
				}
			}
		}
	}
	return lines
}

// Judge returns an error for each test that did not end as expected.
func (r *Report) Judge(expected Expected) error {
	var errs []error
	for _, row := range r.Rows {
		for _, v := range r.Variants {
			got, ok := row.Results[v]
			if !ok {
				continue
			}
			if r.Whole && len(got.Tests) != row.Tests {
				errs = append(errs, fmt.Errorf("%s over %s: %d of %d tests ran", row.Suite, v, len(got.Tests),
					row.Tests))
			}
			for _, name := range got.Failed() {
				if expected[Failure{v, name}].Why == "" {
					errs = append(errs, fmt.Errorf("%s over %s: %s", name, v, got.Tests[name].State))
				}
			}
			for f, r := range expected {
				if o := got.Tests[f.Test]; f.Variant == v && o != nil && o.State == "pass" && !r.Sometimes {
					errs = append(errs, fmt.Errorf("%s over %s passes; expected.txt says: %s", f.Test, v, r.Why))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
