package main

import (
	"go/format"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

func TestExpected(t *testing.T) {
	known, err := suitekit.ReadExpected(expectedText, wires)
	if err != nil || len(known) == 0 {
		t.Errorf("expected.txt: %d entries, error %v", len(known), err)
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
