package cli

import (
	"errors"
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

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
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

// TestReasonsAreComplete holds the catalogue to the code, both ways, and docs/reasons.md to the catalogue.
func TestReasonsAreComplete(t *testing.T) {
	var codes []string
	for c := muxer.Code(0); c.String() != fmt.Sprintf("code-%d", uint16(c)); c++ {
		codes = append(codes, c.String())
	}
	want := map[string][]string{
		kindReason:  codes,
		kindStage:   constants(t, "../../handshake/handshake.go", "Stage"),
		kindFinding: constants(t, "../../host/findings.go", "Finding"),
	}
	anchors := map[string]bool{}
	for _, r := range reasonCatalogue() {
		if !slices.Contains(want[r.Kind], r.Code) {
			t.Errorf("%s %s is not in the code", r.Kind, r.Code)
		}
		want[r.Kind] = slices.DeleteFunc(want[r.Kind], func(c string) bool { return c == r.Code })
		if anchors[r.anchor()] {
			t.Errorf("the anchor %s is there twice", r.anchor())
		}
		anchors[r.anchor()] = true
		for _, text := range []string{r.Text, r.Remedy} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q is no sentence", r.Code, text)
			}
		}
	}
	for kind, missing := range want {
		if len(missing) > 0 {
			t.Errorf("the catalogue lacks the %ss %v", kind, missing)
		}
	}
	const page = "../../" + reasonsPage
	if *update {
		if err := os.WriteFile(page, []byte(reasonsMarkdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(page); err != nil || string(have) != reasonsMarkdown() {
		t.Errorf("%s is not what the catalogue says (%v): go test ./modules/cli -run Reasons -update", page, err)
	}
}

func TestErrorsPrintAnchors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&handshake.Refusal{Code: muxer.CodeWrongNetwork, Reason: "it is of b"}, "see docs/reasons.md#wrong-network"},
		{handshake.Fail(handshake.StageTransport, muxer.CodeTimeout, errors.New("x")), "see docs/reasons.md#timeout"},
		{fmt.Errorf("dial: %w", &host.DisconnectError{Code: muxer.CodeBanned}), "see docs/reasons.md#banned"},
		{&admin.APIError{Reason: &admin.Reason{Code: "wrong-id"}}, "see docs/reasons.md#wrong-id"},
		{&host.DisconnectError{Code: muxer.CodeRequested}, ""},
		{errors.New("anything else"), ""},
	} {
		if got := hint(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
	if out := must(t, "reasons", "wrong-network"); !strings.Contains(out, "Compare network") {
		t.Errorf("printed %q", out)
	}
	if out := must(t, "reasons", "transport"); strings.Count(out, "means") != 2 { // a reason and a stage
		t.Errorf("printed %q", out)
	}
	if r := call(t, "reasons", "no-such"); r.code != exitUsage || !strings.Contains(r.err, "no code") {
		t.Errorf("%+v", r)
	}
}
