package docs

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/floors"
)

// pkg is a public package of the main module.
type pkg struct {
	dir      string // from the root
	doc      *doc.Package
	examples []*doc.Example
}

// packages reads the public packages of the main module, in order of their folders.
func packages(t *testing.T) []pkg {
	t.Helper()
	byDir := map[string][]*ast.File{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(p, "go.mod"))
			other := err == nil && p != root || p != root && strings.HasPrefix(d.Name(), ".")
			if other || slices.Contains([]string{"internal", "testdata", "cmd", "docs", "node_modules"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		byDir[filepath.Dir(p)] = append(byDir[filepath.Dir(p)], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []pkg
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		rel = filepath.ToSlash(rel)
		var plain, tests []*ast.File
		for _, f := range byDir[dir] {
			if strings.HasSuffix(fset.File(f.Pos()).Name(), "_test.go") {
				tests = append(tests, f)
			} else {
				plain = append(plain, f)
			}
		}
		d, err := doc.NewFromFiles(fset, plain, floors.Module+"/"+rel)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pkg{rel, d, doc.Examples(tests...)})
	}
	if len(out) < 30 {
		t.Fatalf("only %d packages were found", len(out))
	}
	return out
}

// Each public package has a comment, and an example whose output is checked.
func TestExamples(t *testing.T) {
	for _, p := range packages(t) {
		if p.doc.Doc == "" {
			t.Errorf("%s has no package comment", p.dir)
		}
		if !slices.ContainsFunc(p.examples, func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput }) {
			t.Errorf("%s has no example with an output", p.dir)
		}
	}
}

// docs/errors.md lists the errors of the public packages.
func TestErrors(t *testing.T) {
	var table strings.Builder
	table.WriteString("| error | says |\n|---|---|\n")
	for _, p := range packages(t) {
		type entry struct{ name, text string }
		var list []entry
		for _, v := range p.doc.Vars {
			for _, spec := range v.Decl.Specs {
				s, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for _, n := range s.Names {
					if strings.HasPrefix(n.Name, "Err") && n.IsExported() {
						text := cmp.Or(s.Doc.Text(), s.Comment.Text(), v.Doc)
						list = append(list, entry{n.Name, text})
					}
				}
			}
		}
		for _, typ := range p.doc.Types {
			if strings.HasSuffix(typ.Name, "Error") {
				list = append(list, entry{"*" + typ.Name, typ.Doc})
			}
		}
		slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
		for _, e := range list {
			text := p.doc.Synopsis(e.text)
			if text == "" {
				t.Errorf("%s: %s has no comment", p.dir, e.name)
			}
			name := p.doc.Name
			if strings.HasPrefix(e.name, "*") {
				name, e.name = "*"+name, e.name[1:]
			}
			fmt.Fprintf(&table, "| `%s.%s` | %s |\n", name, e.name, strings.ReplaceAll(text, "|", `\|`))
		}
	}
	generated(t, "docs/errors.md", "errors", table.String())
}
