package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

func TestExpected(t *testing.T) {
	if _, err := suitekit.ReadExpected(expectedText, variants); err != nil {
		t.Error(err)
	}
}

func TestDivert(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a_test.go")
	for _, c := range []struct{ before, after string }{
		{"package a\n\nimport (\n\t\"x/y\"\n)\n", "package a\n\nimport (\n\tz \"w/z\"\n)\n"},
		{"package a\n\nimport y \"x/y\"\n", "package a\n\nimport y \"w/z\"\n"},
	} {
		if err := os.WriteFile(file, []byte(c.before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := divert(file, "x/y", "w/z"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != c.after {
			t.Errorf("got %q and %v, want %q", got, err, c.after)
		}
		if err := divert(file, "x/y", "w/z"); err == nil {
			t.Error("no error for an import that is not there")
		}
	}
}

// TestPubsub runs a part of pubsub's tests over our hosts; make golibp2p-suites runs them all.
func TestPubsub(t *testing.T) {
	o := options{source: "../../../..", dir: t.TempDir(), versions: map[string]string{"pubsub": "v0.19.0"}, tries: 2,
		timeout: time.Minute}
	tree, err := makeTree(t.Context(), projects["pubsub"], o)
	if err != nil {
		t.Fatal(err)
	}
	s := suites[slices.IndexFunc(suites, func(s suite) bool { return s.name == "pubsub" })]
	s.tests, err = suitekit.Tests(tree.root, []string{"blacklist_test.go", "discovery_test.go", "floodsub_test.go",
		"gossipsub_feat_test.go", "gossipsub_matchfn_test.go", "notify_test.go", "topic_test.go", "validation_test.go"})
	if err != nil {
		t.Fatal(err)
	}
	row, err := tree.run(t.Context(), s, []string{"noise"}, o)
	if err != nil {
		t.Fatal(err)
	}
	expected, err := suitekit.ReadExpected(expectedText, variants)
	if err != nil {
		t.Fatal(err)
	}
	r := suitekit.Report{Variants: []string{"noise"}, Rows: []*suitekit.Row{row}, Whole: true}
	if err := r.Judge(expected); err != nil {
		t.Error(err)
	}
}
