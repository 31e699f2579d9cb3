package ratchet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goPackage is a package of the main module, type-checked, without its tests.
type goPackage struct {
	path  string // below the module; "" is the root package
	files []*ast.File
	types *types.Package
	info  *types.Info
}

// suite reports whether a package is made for tests: its name ends in "test".
func (p goPackage) suite() bool { return strings.HasSuffix(path.Base(p.path), "test") }

// packages type-checks the packages of the main module. What they import comes from the compiler's export data.
func packages(t *testing.T) ([]goPackage, *token.FileSet) {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
		Module                  *struct{ Path string }
	}
	export := map[string]string{}
	var ours []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		export[l.ImportPath] = l.Export
		if l.Module != nil && l.Module.Path == module {
			ours = append(ours, l)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if export[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(export[path])
	})
	var pkgs []goPackage
	for _, l := range ours {
		p := goPackage{path: strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, module), "/")}
		for _, name := range l.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(l.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			p.files = append(p.files, f)
		}
		p.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		conf := types.Config{Importer: imports}
		if p.types, err = conf.Check(l.ImportPath, fset, p.files, p.info); err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages found", len(pkgs))
	}
	return pkgs, fset
}

// interfaces counts optional interfaces and those that package muxer declares.
//
// An interface is optional when a type assertion or a case of a type switch asks whether a value has it: code has two
// ways from there. Each counts once, wherever it is declared and however often it is asserted, named or not, in all
// packages of the main module but tests and the packages made for tests. errors.As does not count, nor does an
// assertion to a concrete type.
func interfaces(t *testing.T) []figure {
	pkgs, fset := packages(t)
	asserted := map[string][]string{}
	var declared []string
	for _, p := range pkgs {
		if p.path == "muxer" {
			for _, name := range p.types.Scope().Names() {
				if o, ok := p.types.Scope().Lookup(name).(*types.TypeName); ok && types.IsInterface(o.Type()) {
					declared = append(declared, name)
				}
			}
		}
		if p.suite() {
			continue
		}
		note := func(e ast.Expr) {
			if e == nil { // x.(type)
				return
			}
			typ := p.info.Types[e].Type
			if typ == nil || !types.IsInterface(typ) {
				return
			}
			if _, parameter := typ.(*types.TypeParam); parameter {
				return
			}
			at := fset.Position(e.Pos())
			name, err := filepath.Rel(root, at.Filename)
			if abs, absErr := filepath.Abs(root); err != nil && absErr == nil {
				name, err = filepath.Rel(abs, at.Filename)
			}
			if err != nil {
				name = at.Filename
			}
			key := types.TypeString(types.Unalias(typ), nil)
			asserted[key] = append(asserted[key], fmt.Sprintf("%s:%d", name, at.Line))
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.TypeAssertExpr:
					note(n.Type)
				case *ast.TypeSwitchStmt:
					for _, c := range n.Body.List {
						for _, e := range c.(*ast.CaseClause).List {
							note(e)
						}
					}
				}
				return true
			})
		}
	}
	var list []string
	for name, places := range asserted {
		list = append(list, strings.TrimPrefix(name, module+"/")+" in "+strings.Join(places, ", "))
	}
	slices.Sort(list)
	return []figure{
		{"optional interfaces", len(list), list},
		{"interfaces in muxer", len(declared), declared},
	}
}
