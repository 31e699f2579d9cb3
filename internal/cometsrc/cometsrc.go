// Package cometsrc makes copies of CometBFT's sources, which tests change and build. Nothing of CometBFT's is kept in
// this repository.
package cometsrc

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Copy makes dir a copy of a release's sources, without documents. They come from the module cache, or from the
// module proxy. What was in dir is removed.
func Copy(ctx context.Context, version, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	said, err := Run(ctx, dir, nil, "go", "mod", "download", "-json", "github.com/cometbft/cometbft@"+version)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(said), &module); err != nil {
		return err
	}
	return copyTree(module.Dir, dir)
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == "docs" || rel == "spec" {
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

// Require adds this repository's modules, whose folder is source, to what a go.mod requires. A workspace would not do:
// it sees more of the module graph, in which one package is in two modules.
func Require(ctx context.Context, gomod, source string) error {
	args := []string{"mod", "edit", "-go=1.26.0", "-toolchain=none"}
	for module, dir := range map[string]string{
		"github.com/switchyard-p2p/switchyard":                  source,
		"github.com/switchyard-p2p/switchyard/modules/cometbft": filepath.Join(source, "modules/cometbft"),
	} {
		args = append(args, "-require="+module+"@v0.0.0-00010101000000-000000000000", "-replace="+module+"="+dir)
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
