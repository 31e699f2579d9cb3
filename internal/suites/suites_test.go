package main

import (
	"go/format"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExpected(t *testing.T) {
	known, err := readExpected(expectedText)
	if err != nil || len(known) == 0 {
		t.Errorf("expected.txt: %d entries, error %v", len(known), err)
	}
	got, err := readExpected("# a comment\n\ncomet,quic? TestA: because \\\n  it is so\n")
	want := map[failure]reason{{comet, "TestA"}: {"because it is so", false},
		{quic, "TestA"}: {"because it is so", true}}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
	for _, text := range []string{"comet TestA", "TestA: because", "tcp TestA: because"} {
		if _, err := readExpected(text); err == nil {
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
	pass, fail := &outcome{"pass", 1}, &outcome{"fail", 3}
	known := map[failure]reason{{comet, "TestB"}: {"because", false}}
	for _, c := range []struct {
		name  string
		tests map[string]*outcome
		ok    bool
	}{
		{"as expected", map[string]*outcome{"TestA": pass, "TestB": fail}, true},
		{"a failure that is not expected", map[string]*outcome{"TestA": fail, "TestB": fail}, false},
		{"a pass that is not expected", map[string]*outcome{"TestA": pass, "TestB": pass}, false},
		{"a test that did not run", map[string]*outcome{"TestA": pass}, false},
	} {
		r := report{wires: []wire{comet}, rows: []*row{{tests: 2, results: map[wire]results{comet: {tests: c.tests}}}}}
		if err := r.judge(known, true); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRename(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.go")
	text := "package a\n\nfunc A() { B() }\n\nfunc B() { A() }\n\nfunc (t *T) A() {}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := rename(file, []string{"B", "A", "T.A"}); err != nil {
		t.Fatal(err)
	}
	want := "package a\n\nfunc stockA() { B() }\n\nfunc stockB() { A() }\n\nfunc (t *T) stockA() {}\n"
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
	if err := rename(file, []string{"A"}); err == nil {
		t.Error("no error for a function that is not there")
	}
}

func TestReplacementsAreFormatted(t *testing.T) {
	files, err := filepath.Glob("testdata/*.go.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := format.Source(text); err != nil || string(want) != string(text) {
			t.Errorf("gofmt would change %s (%v)", file, err)
		}
	}
}
