package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"github.com/switchyard-p2p/switchyard/internal/cometsrc"
	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

// replacements are what the tests get in place of CometBFT's helpers.
//
//go:embed testdata
var replacements embed.FS

// tree is a changed copy of CometBFT's sources.
type tree struct {
	root    string // of the copy
	overlay string // adds to package cometbft what the tests need of it
	logs    string
	bin     string
}

// renamed are functions of CometBFT's that replacements with their name call.
var renamed = []struct {
	file  string
	funcs []string
}{
	{"p2p/test_util.go", []string{"MakeSwitch", "Connect2Switches", "getFreePort"}},
	{"p2p/switch.go", []string{"Switch.DialPeerWithAddress"}},
	{"node/node.go", []string{"NewNodeWithContext"}},
}

// reworded are single expressions.
var reworded = []struct{ file, from, to string }{
	// Peers of ours are not of p2p's own type.
	{"p2p/switch_test.go", "p.(*peer).CloseConn()", "p.CloseConn()"},
	// The tests run verbosely, to tell which of them pass. Their loggers stay silent.
	{"libs/log/testing_logger.go", "testing.Verbose()", `testing.Verbose() && os.Getenv("SUITES_LOG") != ""`},
}

// added are files of testdata, without .txt, and where they go.
var added = map[string]string{
	"p2p.go":  "p2p/switchyard.go",
	"node.go": "node/switchyard.go",
	"hook.go": "suites/hook.go",
}

// makeTree copies CometBFT's sources, changes them, and lets them require this repository.
func makeTree(ctx context.Context, o options) (*tree, error) {
	source, err := filepath.Abs(o.source)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	t := &tree{root: filepath.Join(dir, "cometbft"), overlay: filepath.Join(dir, "overlay.json"),
		logs: filepath.Join(dir, "logs"), bin: filepath.Join(dir, "bin")}
	if err := os.RemoveAll(t.logs); err != nil {
		return nil, err
	}
	for _, d := range []string{t.logs, t.bin} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := cometsrc.Copy(ctx, o.version, t.root); err != nil {
		return nil, err
	}
	if err := t.change(); err != nil {
		return nil, err
	}
	export := filepath.Join(dir, "export.go")
	if err := write("export.go", export); err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(source, "modules/cometbft/suites_export.go"): export}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(t.overlay, overlay, 0o644); err != nil {
		return nil, err
	}
	return t, cometsrc.Require(ctx, filepath.Join(t.root, "go.mod"), source)
}

// change changes the copy. It fails where CometBFT is no longer as it was.
func (t *tree) change() error {
	for _, r := range renamed {
		if err := rename(filepath.Join(t.root, r.file), r.funcs); err != nil {
			return err
		}
	}
	for _, r := range reworded {
		file := filepath.Join(t.root, r.file)
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !bytes.Contains(data, []byte(r.from)) {
			return fmt.Errorf("%s does not contain %s", r.file, r.from)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(data, []byte(r.from), []byte(r.to)), 0o644); err != nil {
			return err
		}
	}
	for from, to := range added {
		if err := write(from, filepath.Join(t.root, to)); err != nil {
			return err
		}
	}
	for _, s := range suites {
		pkg, err := packageOf(filepath.Join(t.root, s.pkg))
		if err != nil {
			return err
		}
		// The external test package may import what imports the package under test.
		text := fmt.Sprintf("package %s_test\n\nimport _ \"github.com/cometbft/cometbft/suites\"\n", pkg)
		file := filepath.Join(t.root, s.pkg, "switchyard_test.go")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file of testdata.
func write(name, to string) error {
	data, err := replacements.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// receiver returns the type of a method whose receiver is a pointer, and a dot.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	if star, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
		if id, ok := star.X.(*ast.Ident); ok {
			return id.Name + "."
		}
	}
	return "."
}

// rename gives functions and methods of a file the prefix "stock".
func rename(file string, funcs []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, data, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			at[receiver(f)+f.Name.Name] = set.Position(f.Name.Pos()).Offset
		}
	}
	for _, name := range funcs {
		offset, ok := at[name]
		if !ok {
			return fmt.Errorf("%s has no function %s", file, name)
		}
		data = append(data[:offset:offset], append([]byte("stock"), data[offset:]...)...)
		for other, o := range at {
			if o > offset {
				at[other] = o + len("stock")
			}
		}
	}
	return os.WriteFile(file, data, 0o644)
}

// packageOf returns the name of the package in a folder.
func packageOf(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		return parsed.Name.Name, nil
	}
	return "", fmt.Errorf("no package in %s", dir)
}

// build builds the tests of a suite's package.
func (t *tree) build(ctx context.Context, s suite, race bool) (string, error) {
	binary := filepath.Join(t.bin, strings.ReplaceAll(s.pkg, "/", "-")+".test")
	args := []string{"test", "-c", "-mod=mod", "-vet=off", "-overlay", t.overlay, "-o", binary}
	if race {
		args = append(args, "-race")
	}
	_, err := suitekit.Run(ctx, t.root, nil, "go", append(args, "./"+s.pkg)...)
	return binary, err
}

// batch returns how the tests of a suite run over a wire.
func (t *tree) batch(s suite, binary, wire string, o options) suitekit.Batch {
	log := filepath.Join(t.logs, strings.ReplaceAll(s.name, "/", "-")+"."+wire+".log")
	b := suitekit.Batch{Binary: binary, Dir: filepath.Join(t.root, s.pkg), Timeout: o.timeout, Log: log,
		Links: log + ".links", Env: []string{"SUITES_WIRE=" + wire, "SUITES_LINKS=" + log + ".links"}}
	if o.log {
		b.Env = append(b.Env, "SUITES_LOG=1")
	}
	if s.silent {
		// The tests drop their connections, which the garbage collector closes sooner or later.
		b.Env = append(b.Env, "SUITES_SILENT=1", "GOGC=off")
	}
	return b
}
