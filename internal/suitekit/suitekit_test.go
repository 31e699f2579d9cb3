package suitekit

import (
	"maps"
	"strings"
	"testing"
)

func TestExpected(t *testing.T) {
	variants := []string{"comet", "quic"}
	got, err := ReadExpected("# a comment\n\ncomet,quic? TestA: because \\\n  it is so\n", variants)
	want := Expected{{"comet", "TestA"}: {"because it is so", false}, {"quic", "TestA"}: {"because it is so", true}}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
	for _, text := range []string{"comet TestA", "TestA: because", "tcp TestA: because"} {
		if _, err := ReadExpected(text, variants); err == nil {
			t.Errorf("no error from %q", text)
		}
	}
}

func TestOutputOfTests(t *testing.T) {
	got := attempt{states: map[string]string{}}
	begun := 0
	running := got.read(strings.NewReader("\x16=== RUN   TestA\na log line\x16--- PASS: TestA (0.01s)\n"+
		"=== RUN   TestB\n=== RUN   TestB/sub\n--- FAIL: TestB (1s)\n    --- FAIL: TestB/sub (1s)\n"+
		"=== RUN   TestC\n--- SKIP: TestC (0s)\n=== RUN   TestD\npanic: no"), func() { begun++ })
	want := map[string]string{"TestA": "pass", "TestB": "fail", "TestC": "skip"}
	if running != "TestD" || begun != 4 || !maps.Equal(got.states, want) {
		t.Errorf("got %v, %d begun, TestD is %q; want %v", got.states, begun, running, want)
	}
}

func TestJudge(t *testing.T) {
	pass, fail := &Outcome{"pass", 1}, &Outcome{"fail", 3}
	known := Expected{{"comet", "TestB"}: {"because", false}}
	for _, c := range []struct {
		name  string
		tests map[string]*Outcome
		ok    bool
	}{
		{"as expected", map[string]*Outcome{"TestA": pass, "TestB": fail}, true},
		{"a failure that is not expected", map[string]*Outcome{"TestA": fail, "TestB": fail}, false},
		{"a pass that is not expected", map[string]*Outcome{"TestA": pass, "TestB": pass}, false},
		{"a test that did not run", map[string]*Outcome{"TestA": pass}, false},
	} {
		r := Report{Variants: []string{"comet"}, Whole: true,
			Rows: []*Row{{Tests: 2, Results: map[string]Results{"comet": {Tests: c.tests}}}}}
		if err := r.Judge(known); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
