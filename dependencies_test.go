package switchyard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDependencies keeps small programs free of what they do not use.
func TestDependencies(t *testing.T) {
	frameworks := []string{"go.uber.org/fx", "go.uber.org/dig", "github.com/spf13/cobra",
		"github.com/pelletier/go-toml", "google.golang.org/grpc"}
	// of sources and services that a program has only if it lists them
	listed := []string{"github.com/fsnotify", "github.com/libp2p/zeroconf", "github.com/miekg/dns",
		"github.com/multiformats/go-multiaddr-dns", "github.com/huin/goupnp", "github.com/jackpal/go-nat-pmp"}
	for _, tt := range []struct {
		pkg  string
		has  string // to see that the list is one
		free []string
	}{
		{".", "github.com/quic-go/quic-go", slices.Concat(frameworks, listed)},
		{"./internal/sizes/testdata/nofx", "github.com/dgraph-io/badger", slices.Concat(frameworks, listed)},
		{"./internal/sizes/testdata/parts", "github.com/libp2p/go-yamux",
			slices.Concat([]string{"github.com/quic-go", "github.com/dgraph-io"}, frameworks, listed)},
		{"./handshake/signer", "google.golang.org/protobuf", frameworks},
		// a catalogue of one's own, without a signer
		{"./modules", "go.uber.org/fx",
			slices.Concat([]string{"google.golang.org/grpc", "github.com/spf13/cobra"}, listed)},
		{"./modules/signergrpc", "google.golang.org/grpc", frameworks[:4]},
	} {
		out, err := exec.Command("go", "list", "-deps", tt.pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		list := "\n" + string(out)
		if !strings.Contains(list, "\n"+tt.has) {
			t.Errorf("%s does not depend on %s", tt.pkg, tt.has)
		}
		for _, f := range tt.free {
			if strings.Contains(list, "\n"+f) {
				t.Errorf("%s depends on %s", tt.pkg, f)
			}
		}
	}
}

// TestExampleIsShort holds the front page to its promise: two nodes exchange a message in 20 lines, with one import
// beyond the standard library.
func TestExampleIsShort(t *testing.T) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "example_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if strings.Contains(path, ".") && path != "github.com/switchyard-p2p/switchyard" {
			t.Errorf("it imports %s", path)
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "Example" {
			continue
		}
		lines := map[int]bool{} // that have code
		ast.Inspect(fn, func(n ast.Node) bool {
			if n != nil {
				lines[files.Position(n.Pos()).Line], lines[files.Position(n.End()-1).Line] = true, true
			}
			return true
		})
		if t.Logf("%d lines", len(lines)); len(lines) > 20 {
			t.Errorf("it has %d lines", len(lines))
		}
		return
	}
	t.Error("there is no Example")
}
