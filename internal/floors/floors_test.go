package floors

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// goFile is a Go file of the main module that is not a test.
type goFile struct {
	path    string // from the root
	pkg     string // its folder
	imports []string
	lines   int
	written bool // not generated
}

// goFiles reads the files of the main module, without tests.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(p, "go.mod"))
			nested := err == nil && p != root
			hidden := strings.HasPrefix(d.Name(), ".") && p != root
			if nested || hidden || d.Name() == "testdata" || d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		g := goFile{path: rel, pkg: path.Dir(rel), lines: bytes.Count(src, []byte("\n")), written: !ast.IsGenerated(f)}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			g.imports = append(g.imports, name)
		}
		files = append(files, g)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

func TestImportsStayOnTheirFloors(t *testing.T) {
	for _, f := range goFiles(t) {
		from, err := roomOf(f.pkg)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
			continue
		}
		for _, imported := range f.imports {
			inside, ok := strings.CutPrefix(imported, Module+"/")
			if imported == Module {
				inside, ok = ".", true
			}
			if !ok {
				if why := checkOutside(from, imported); why != "" {
					t.Errorf("%s imports %s: %s", f.path, imported, why)
				}
				continue
			}
			to, err := roomOf(inside)
			if err != nil {
				t.Errorf("%s: %v", f.path, err)
			} else if why := checkImport(from, to); why != "" {
				t.Errorf("%s imports %s: %s", f.path, inside, why)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, f := range goFiles(t) {
		if r, err := roomOf(f.pkg); err == nil && r.suite { // a test that others run
			continue
		}
		if f.written && f.lines > MaxLines {
			t.Errorf("%s has %d lines, more than %d: split its nouns", f.path, f.lines, MaxLines)
		}
	}
}

func TestTopLevelFolders(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		made := e.Name() == "bin" // by make build, ignored by git
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !made && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s/ is not one of the top-level folders %v", e.Name(), topLevel)
		}
	}
}

// The rules themselves: what they allow, and what they catch.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"handshake", "muxer", true},
		{"transport", "internal/x", true},
		{"transport/tcp", "transport", true},
		{"transport/transporttest", "transport", true},
		{"peerstore/badger", "peerstore", true},
		{"peerstore/badger", "internal/peerpb", true},
		{"host", "handshake", true},
		{"host", "host/peers", true},
		{"host/peers", "peerstore", true},
		{"host/admin", "host/peers", true},
		{"discovery", "host", true},
		{"discovery/pex", "discovery", true},
		{"discovery/pex", "host", true},
		{"host/echo", "host", true},
		{"host/hosttest", "transport/memory", true},
		{"handshake/comet", "muxer/mconn", true},
		{"modules", "host/echo", true},
		{"cmd/switchyard", "modules", true},
		{"modules", "handshake/signer", true},
		{"modules/signergrpc", "handshake/signer", true},
		{"modules/standard", "internal/stock", true},
		{"modules/cli", "modules", true},
		{"modules/cli", "modules/cli/live", true},
		{".", "internal/stock", true},
		{".", "peerstore/badger", true},
		{"internal/stock", "transport/quic", true},
		{"internal/floors", "internal/x", true},

		{"internal/x", "transport", false},
		{"transport", "muxer", false},
		{"muxer", "handshake", false},
		{"host", "transport/tcp", false},
		{"host", "host/echo", false},
		{"host/peers", "host", false},
		{"host", "discovery", false},
		{"handshake", "handshake/comet", false},
		{"handshake/noise", "handshake/tls", false},
		{"discovery/pex", "discovery/static", false},
		{"discovery/pex", "transport/tcp", false},
		{"host/echo", "host/hosttest", false},
		{"host/echo", "modules", false},
		{"modules", "cmd/switchyard", false},
		{".", "modules", false},
		{".", "modules/cli/live", false},
		{"host/admin", "modules/cli/live", false},
		{".", "modules/standard", false},
		{"modules", ".", false},
		{"host", "internal/stock", false},
		{"handshake/signer", "modules/signergrpc", false},
		{"handshake/comet", "handshake/signer", false},
		{".", "modules/signergrpc", false},
		{"internal/x", "internal/stock", false},
	} {
		from, err := roomOf(c.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := roomOf(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if why := checkImport(from, to); (why == "") != c.ok {
			t.Errorf("%s -> %s: allowed %v, want %v (%s)", c.from, c.to, why == "", c.ok, why)
		}
	}
	for pkg, imported := range map[string]string{".": "go.uber.org/fx", "internal/stock": "go.uber.org/fx",
		"host": "go.uber.org/fx", "discovery/pex": "go.uber.org/fx/fxevent", "transport": "testing",
		"muxer": "github.com/libp2p/go-libp2p/core", "handshake/signer": "google.golang.org/grpc",
		"host/admin": "google.golang.org/grpc/codes"} {
		r, err := roomOf(pkg)
		if err != nil {
			t.Fatal(err)
		}
		if checkOutside(r, imported) == "" {
			t.Errorf("%s may import %s", pkg, imported)
		}
	}
	for _, pkg := range []string{"util", "transport/tcp/deep"} {
		if _, err := roomOf(pkg); err == nil {
			t.Errorf("%s has a room", pkg)
		}
	}
}
