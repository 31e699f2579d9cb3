package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// release is a release of CometBFT that networks run today.
type release struct {
	version string
	modfile string // of modules/cometbft, for our node on this release
	tag     string // build tag of our node and of the application; empty for none
	libp2p  bool   // it has a libp2p mode
}

var releases = []release{
	{version: "0.38.26", modfile: "go.v038.mod", tag: "cometbft038"},
	{version: "0.40.0", libp2p: true},
	{version: "1.0.1", modfile: "go.v1.mod", tag: "cometbft1"},
}

// binaries holds the programs of one release.
type binaries struct {
	release
	stock, app string
	ours       string // empty as long as no network needs it
	says       string // the version that stock nodes tell others, which need not be the release's
}

//go:embed testdata/app/*.go
var appSource embed.FS

// build returns the programs of a release, which it builds once for all runs: stock nodes and the application from the
// release's own source with its own dependencies, ours from this tree unless it is given.
func build(ctx context.Context, root string, r release, ours, race bool, given string) (*binaries, error) {
	dir, err := filepath.Abs(filepath.Join(root, ".cache", "chain", r.version))
	if err != nil {
		return nil, err
	}
	b := &binaries{release: r, stock: filepath.Join(dir, "cometbft"), app: filepath.Join(dir, "app")}
	if err := b.buildStock(ctx, dir); err != nil {
		return nil, fmt.Errorf("CometBFT %s: %w", r.version, err)
	}
	out, err := exec.CommandContext(ctx, b.stock, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("CometBFT %s: %w", r.version, err)
	}
	b.says, _, _ = strings.Cut(strings.TrimSpace(string(out)), "+") // 1.0 adds its commit, which it does not send
	if !ours {
		return b, nil
	}
	if given != "" {
		b.ours, err = filepath.Abs(given)
		return b, err
	}
	args := []string{"build", "-o", filepath.Join(dir, "ours")}
	if race {
		args = []string{"build", "-race", "-o", filepath.Join(dir, "ours-race")}
	}
	b.ours = args[len(args)-1]
	if r.modfile != "" {
		args = append(args, "-modfile="+r.modfile)
	}
	if r.tag != "" {
		args = append(args, "-tags="+r.tag)
	}
	module := filepath.Join(root, "modules", "cometbft")
	if err := command(ctx, module, "go", append(args, "./cmd/cometbft")...); err != nil {
		return nil, fmt.Errorf("our node on CometBFT %s: %w", r.version, err)
	}
	return b, nil
}

// buildStock builds the stock node, and the application when its source here has changed.
func (b *binaries) buildStock(ctx context.Context, dir string) error {
	const folder = "testdata/app"
	var text strings.Builder
	entries, err := fs.ReadDir(appSource, folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := fs.ReadFile(appSource, folder+"/"+e.Name())
		if err != nil {
			return err
		}
		text.Write(data)
	}
	stamp := filepath.Join(dir, "app.source")
	if old, err := os.ReadFile(stamp); err == nil && string(old) == text.String() {
		return nil
	}
	fmt.Printf("building CometBFT %s, for minutes\n", b.version)
	var module struct{ Dir, Error string }
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json",
		"github.com/cometbft/cometbft@v"+b.version).Output()
	if e := json.Unmarshal(out, &module); e != nil || module.Dir == "" {
		return errors.Join(fmt.Errorf("download: %s", module.Error), err, e)
	}
	source, err := os.MkdirTemp("", "cometbft-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(source)
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil {
		return err
	}
	app := filepath.Join(source, "cmd", "app")
	if err := os.Mkdir(app, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		data, err := fs.ReadFile(appSource, folder+"/"+e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(app, e.Name()), data, 0o644); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"build", "-mod=mod", "-ldflags=-s -w", "-o", b.stock, "./cmd/cometbft"},
		{"build", "-mod=mod", "-ldflags=-s -w", "-tags=" + b.tag, "-o", b.app, "./cmd/app"},
	} {
		if err := command(ctx, source, "go", args...); err != nil {
			return err
		}
	}
	return os.WriteFile(stamp, []byte(text.String()), 0o644)
}

// command runs a command in a folder; its error carries what the command printed.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off") // CometBFT 1.0 has a workspace
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
