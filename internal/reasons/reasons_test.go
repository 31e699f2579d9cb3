package reasons

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

var update = flag.Bool("update", false, "write docs/reasons.md")

// constants returns the texts of a file's constants whose names begin with prefix.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) == 0 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			out = append(out, text)
		}
		return true
	})
	if len(out) == 0 {
		t.Fatalf("%s has no constants %s...", file, prefix)
	}
	return out
}

// TestComplete holds the catalogue to the code, both ways, and docs/reasons.md to the catalogue.
func TestComplete(t *testing.T) {
	var codes []string
	for c := muxer.Code(0); c.String() != fmt.Sprintf("code-%d", uint16(c)); c++ {
		codes = append(codes, c.String())
	}
	want := map[string][]string{
		Link:    codes,
		Stage:   constants(t, "../../handshake/handshake.go", "Stage"),
		Finding: constants(t, "../../host/findings.go", "Finding"),
	}
	anchors := map[string]bool{}
	for _, r := range All() {
		if !slices.Contains(want[r.Kind], r.Code) {
			t.Errorf("%s %s is not in the code", r.Kind, r.Code)
		}
		want[r.Kind] = slices.DeleteFunc(want[r.Kind], func(c string) bool { return c == r.Code })
		if anchors[r.Anchor()] {
			t.Errorf("the anchor %s is there twice", r.Anchor())
		}
		anchors[r.Anchor()] = true
		for _, text := range []string{r.Text, r.Remedy} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q is no sentence", r.Code, text)
			}
		}
		if (r.Short != "") != (r.Kind == Link) || strings.HasSuffix(r.Short, ".") || len(r.Short) > 90 {
			t.Errorf("%s %s: %q is no short remedy", r.Kind, r.Code, r.Short)
		}
		if got, ok := Find(r.Kind, r.Code); !ok || got != r {
			t.Errorf("%s %s is not found", r.Kind, r.Code)
		}
	}
	for kind, missing := range want {
		if len(missing) > 0 {
			t.Errorf("the catalogue lacks the %ss %v", kind, missing)
		}
	}
	const page = "../../" + Page
	if *update {
		if err := os.WriteFile(page, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(page); err != nil || string(have) != Markdown() {
		t.Errorf("%s is not what the catalogue says (%v): go test ./internal/reasons -update", page, err)
	}
}
