package docs

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// constant is a constant with its comment.
type constant struct{ name, value, comment string }

// constants returns the constants of a type in a package.
func constants(t *testing.T, dir, typ string) []constant {
	t.Helper()
	var out []constant
	for _, p := range packages(t) {
		if p.dir != dir {
			continue
		}
		for _, of := range p.doc.Types {
			if of.Name != typ {
				continue
			}
			for _, group := range of.Consts {
				for _, spec := range group.Decl.Specs {
					s := spec.(*ast.ValueSpec)
					c := constant{name: s.Names[0].Name, comment: strings.TrimSpace(s.Comment.Text())}
					if lit, ok := s.Values[0].(*ast.BasicLit); ok {
						c.value = lit.Value
						if lit.Kind == token.STRING {
							c.value, _ = strconv.Unquote(lit.Value)
						}
					}
					out = append(out, c)
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no constants of type %s", dir, typ)
	}
	return out
}

// docs/wire-formats.md lists the codes; docs/admin-api.md names them, and the kinds of events.
func TestCodes(t *testing.T) {
	api, err := os.ReadFile(filepath.Join(root, "docs/admin-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| number | code | says |\n|---|---|---|\n")
	for _, c := range constants(t, "muxer", "Code") {
		n, err := strconv.Atoi(c.value)
		if err != nil {
			t.Fatal(err)
		}
		name := muxer.Code(n).String()
		if strings.HasPrefix(name, "code-") {
			t.Errorf("code %d has no name", n)
		}
		fmt.Fprintf(&table, "| %d | `%s` | %s |\n", n, name, c.comment)
		if !strings.Contains(string(api), "`"+name+"`") {
			t.Errorf("docs/admin-api.md does not name the code %s", name)
		}
	}
	generated(t, "docs/wire-formats.md", "codes", table.String())
	for _, k := range constants(t, "host", "EventKind") {
		if !strings.Contains(string(api), "`"+k.value+"`") {
			t.Errorf("docs/admin-api.md does not name the event %s", k.value)
		}
	}
}

var jsonTag = regexp.MustCompile(`json:"([a-z0-9_]+)`)

// docs/admin-api.md names each field of the answers.
func TestFields(t *testing.T) {
	api, err := os.ReadFile(filepath.Join(root, "docs/admin-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "host/admin/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range jsonTag.FindAllStringSubmatch(string(text), -1) {
			n++
			if !regexp.MustCompile("[\"`]" + m[1] + "\\b").Match(api) {
				t.Errorf("docs/admin-api.md does not name the field %s of %s", m[1], filepath.Base(file))
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d fields were found", n)
	}
}
