// Package suitekit runs the test suites of other projects over Switchyard: it copies their sources, which the caller
// changes and builds, runs each test until it has a result, and judges what came of them by a list of known failures.
// Nothing of theirs is kept in this repository.
package suitekit

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Copy makes dir a copy of a module's sources, without the top-level folders of skip. They come from the module cache,
// or from the module proxy. What was in dir is removed.
func Copy(ctx context.Context, module, version, dir string, skip ...string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	said, err := Run(ctx, dir, nil, "go", "mod", "download", "-json", module+"@"+version)
	if err != nil {
		return err
	}
	var found struct{ Dir string }
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		return err
	}
	return copyTree(found.Dir, dir, skip)
}

func copyTree(from, to string, skip []string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(skip, rel) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}

// Require adds modules of this repository to what a go.mod requires. Their folders are relative to source, which is
// this repository's. A workspace would not do: it sees more of the module graph, in which one package is in two
// modules.
func Require(ctx context.Context, gomod, source string, modules ...string) error {
	args := []string{"mod", "edit", "-go=1.26.0", "-toolchain=none"}
	for _, folder := range modules {
		module := strings.TrimSuffix("github.com/switchyard-p2p/switchyard/"+folder, "/")
		args = append(args, "-require="+module+"@v0.0.0-00010101000000-000000000000",
			"-replace="+module+"="+filepath.Join(source, folder))
	}
	_, err := Run(ctx, filepath.Dir(gomod), nil, "go", append(args, gomod)...)
	return err
}

// Run runs a program in a folder, without a workspace, and returns what it writes to its standard output.
func Run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "GOWORK=off"), env...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, complaint.String())
	}
	return string(out), nil
}

// Tests returns the names of the tests of a package's files; nil means all files.
func Tests(dir string, files []string) ([]string, error) {
	if files == nil {
		all, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range all {
			files = append(files, filepath.Base(file))
		}
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names, nil
}
