package ratchet

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const maxColumns = 120

// tracked are the files that git knows or would add.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-co", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	files := strings.Fields(string(out))
	if len(files) < 100 {
		t.Fatalf("git knows only %d files", len(files))
	}
	return files
}

// tree counts lines, columns, methods and assembly in the source text.
func tree(t *testing.T) []figure {
	var (
		long, wide, assembly []string
		longest, core, disk  int
		methods              = map[string]int{}
	)
	for _, name := range tracked(t) {
		src, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) { // removed, and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".s" {
			assembly = append(assembly, name)
		}
		if !strings.HasSuffix(name, ".go") {
			wide = append(wide, wideLines(name, src)...)
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if ast.IsGenerated(f) {
			continue
		}
		wide = append(wide, wideLines(name, src)...)
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		countMethods(methods, path.Dir(name), f)
		lines := bytes.Count(src, []byte("\n"))
		switch {
		case strings.HasPrefix(name, "peerstore/badger/"):
			disk += lines
		case strings.HasPrefix(name, "peerstore/internal/book/"), path.Dir(name) == "peerstore":
			core += lines
		}
		// A suite is a test that others run, and nested modules are judges and benchmarks: only the node's own files
		// count.
		if !strings.HasSuffix(path.Dir(name), "test") && !nested(name) {
			longest = max(longest, lines)
			if lines > 450 {
				long = append(long, fmt.Sprintf("%s has %d", name, lines))
			}
		}
	}
	most, types := 0, []string{}
	for name, n := range methods {
		most = max(most, n)
		if n > 40 {
			types = append(types, fmt.Sprintf("%s has %d", name, n))
		}
	}
	slices.Sort(types)
	return []figure{
		{"methods of a type", most, types},
		{"lines of a file", longest, long},
		{"lines over 120 columns", len(wide), byFile(wide)},
		{"lines of the peer store's core", core, nil},
		{"lines of peerstore/badger", disk, nil},
		{"assembly files", len(assembly), assembly},
	}
}

// nested reports whether a file belongs to a module of its own below the root.
func nested(name string) bool {
	for d := path.Dir(name); d != "."; d = path.Dir(d) {
		if _, err := os.Stat(filepath.Join(root, d, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// countMethods adds the methods that f declares to those of their types.
func countMethods(methods map[string]int, dir string, f *ast.File) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv == nil {
			continue
		}
		e := fn.Recv.List[0].Type
		for {
			switch x := e.(type) {
			case *ast.StarExpr:
				e = x.X
			case *ast.IndexExpr:
				e = x.X
			case *ast.IndexListExpr:
				e = x.X
			case *ast.Ident:
				methods[dir+"."+x.Name]++
				e = nil
			default:
				e = nil
			}
			if e == nil {
				break
			}
		}
	}
}

// wideLines returns file:line of lines over maxColumns, where a tab counts 4 and everything else a column a rune. It
// leaves out libraries of others, files of other kinds (data, pictures, lock files, licences, pages for browsers),
// Markdown tables, and lines that are long because of a URL.
func wideLines(name string, src []byte) []string {
	switch ext := filepath.Ext(name); {
	case strings.Contains(name, "testdata/") && ext != ".go":
		return nil
	case strings.Contains(name, "/vendor/"): // libraries of the live page, as their authors publish them
		return nil
	case slices.Contains([]string{".sum", ".mod", ".svg", ".png", ".csv", ".json", ".html"}, ext):
		return nil
	case path.Base(name) == "LICENSE", strings.HasSuffix(name, "_test.yml"): // there a series is one line
		return nil
	}
	markdown := strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".md.tmpl")
	var out []string
	for i, line := range strings.Split(string(src), "\n") {
		columns := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
		if columns <= maxColumns || markdown && strings.HasPrefix(strings.TrimSpace(line), "|") ||
			isURL(line, columns) {
			continue
		}
		out = append(out, fmt.Sprintf("%s:%d", name, i+1))
	}
	return out
}

// isURL reports whether a line is little more than a URL that is too long for it.
func isURL(line string, columns int) bool {
	for _, w := range strings.Fields(line) {
		if strings.Contains(w, "://") && columns-utf8.RuneCountInString(w) <= 40 {
			return true
		}
	}
	return false
}

// byFile counts places by file, the most first.
func byFile(places []string) []string {
	counts := map[string]int{}
	for _, p := range places {
		file, _, _ := strings.Cut(p, ":")
		counts[file]++
	}
	var out []string
	for file, n := range counts {
		out = append(out, fmt.Sprintf("%4d in %s", n, file))
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(b[:4], a[:4]), cmp.Compare(a, b)) })
	if len(places) <= 20 {
		return places
	}
	if len(out) > 30 {
		out = append(out[:30], fmt.Sprintf("and more in %d files", len(out)-30))
	}
	return out
}
