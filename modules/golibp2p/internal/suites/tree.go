package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

// standIns are packages that make hosts, in place of go-libp2p's.
//
//go:embed hosts
var standIns embed.FS

// ownPath is the import path of the packages of standIns, which a copy has under its own.
const ownPath = "github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts"

// tree is a changed copy of a project's sources.
type tree struct {
	root, logs, bin string
}

// makeTree copies a project's sources, changes them, and lets them require this repository.
func makeTree(ctx context.Context, p project, o options) (*tree, error) {
	source, err := filepath.Abs(o.source)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	t := &tree{root: filepath.Join(dir, p.name), logs: filepath.Join(dir, "logs", p.name),
		bin: filepath.Join(dir, "bin", p.name)}
	if err := os.RemoveAll(t.logs); err != nil {
		return nil, err
	}
	for _, d := range []string{t.logs, t.bin} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := suitekit.Copy(ctx, p.module, o.versions[p.name], t.root); err != nil {
		return nil, err
	}
	if err := t.addStandIns(p); err != nil {
		return nil, err
	}
	if err := t.divert(p); err != nil {
		return nil, err
	}
	return t, suitekit.Require(ctx, filepath.Join(t.root, "go.mod"), source, "", "modules/golibp2p")
}

// addStandIns copies the packages of folder hosts that p needs, and the one that they share.
func (t *tree) addStandIns(p project) error {
	needed := []string{"."}
	for _, s := range p.stands {
		needed = append(needed, s.folder)
	}
	return fs.WalkDir(standIns, "hosts", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, "hosts"), "/")
		if d.IsDir() || !slices.Contains(needed, path.Dir(rel)) {
			return nil
		}
		data, err := standIns.ReadFile(name)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), strconv.Quote(ownPath), strconv.Quote(p.module+"/switchyard"))
		text = strings.ReplaceAll(text, `"`+ownPath+"/", `"`+p.module+"/switchyard/")
		to := filepath.Join(t.root, "switchyard", filepath.FromSlash(rel))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, []byte(text), 0o644)
	})
}

// divert lets tests import what stands in for packages that make hosts. It fails where the tests are no longer as they
// were.
func (t *tree) divert(p project) error {
	for old, s := range p.stands {
		for _, file := range s.files {
			if err := divert(filepath.Join(t.root, file), old, p.module+"/switchyard/"+s.folder); err != nil {
				return err
			}
		}
	}
	for _, s := range suites {
		if s.project != p.name || s.tests != nil {
			continue
		}
		files, err := filepath.Glob(filepath.Join(t.root, s.pkg, "*_test.go"))
		if err != nil {
			return err
		}
		for _, file := range files {
			for old := range p.stands {
				if at, _, err := findImport(file, old); err == nil && at >= 0 {
					return fmt.Errorf("%s imports %s, too: add it to suite.go", file, old)
				}
			}
		}
	}
	return nil
}

// divert changes an import of a file.
func divert(file, from, to string) error {
	at, name, err := findImport(file, from)
	if err != nil {
		return err
	}
	if at < 0 {
		return fmt.Errorf("%s does not import %s", file, from)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if name == "" { // the new path may end in another word
		name = path.Base(to) + " "
	} else {
		name = ""
	}
	text := string(data[:at]) + name + strconv.Quote(to) + string(data[at+len(from)+2:])
	return os.WriteFile(file, []byte(text), 0o644)
}

// findImport returns where the path of an import is, with its quotes, and the name that it is given; -1 where there is
// none.
func findImport(file, wanted string) (at int, name string, err error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.ImportsOnly)
	if err != nil {
		return -1, "", err
	}
	for _, i := range parsed.Imports {
		if i.Path.Value == strconv.Quote(wanted) {
			if i.Name != nil {
				name = i.Name.Name
			}
			return set.Position(i.Path.Pos()).Offset, name, nil
		}
	}
	return -1, "", nil
}

// run runs the tests of a suite over each variant that it has.
func (t *tree) run(ctx context.Context, s suite, variants []string, o options) (*suitekit.Row, error) {
	names := s.tests
	if names == nil {
		var err error
		if names, err = suitekit.Tests(filepath.Join(t.root, s.pkg), nil); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, errors.New(s.name + ": there are no tests")
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, o.run) })
	row := &suitekit.Row{Suite: s.name, Tests: len(names), Results: map[string]suitekit.Results{}}
	if len(names) == 0 {
		return row, nil
	}
	binary, err := t.build(ctx, s, o.race)
	if err != nil {
		return nil, err
	}
	for _, v := range variants {
		if slices.Contains(s.skip, v) {
			continue
		}
		log := filepath.Join(t.logs, strings.ReplaceAll(s.name, "/", "-")+"."+v+".log")
		b := suitekit.Batch{Binary: binary, Dir: filepath.Join(t.root, s.pkg), Timeout: o.timeout, Log: log,
			Links: log + ".links", Env: []string{"SUITES_VARIANT=" + v, "SUITES_LINKS=" + log + ".links"}}
		got, err := b.RunAll(ctx, names, o.tries)
		if err != nil {
			return nil, err
		}
		row.Results[v] = got
		fmt.Printf("%-20s %-6s %3d of %3d passed, %d skipped in %4.0f s%s\n", s.name, v, got.Passed(), len(names),
			got.Skipped(), got.Seconds, got.Notes())
	}
	return row, nil
}

// build builds the tests of a suite's package.
func (t *tree) build(ctx context.Context, s suite, race bool) (string, error) {
	binary := filepath.Join(t.bin, strings.ReplaceAll(s.name, "/", "-")+".test")
	args := []string{"test", "-c", "-mod=mod", "-vet=off", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	_, err := suitekit.Run(ctx, t.root, nil, "go", append(args, "./"+s.pkg)...)
	return binary, err
}
