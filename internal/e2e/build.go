//go:build linux

package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/internal/cometsrc"
	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

// ownText is the option that makes the nodes of CometBFT's e2e tests ours, and the networks that are not CometBFT's.
//
//go:embed testdata
var ownText embed.FS

// programs are what networks run, built from a copy of CometBFT's sources.
type programs struct {
	e2e    string // folder test/e2e of the copy
	runner string // CometBFT's own
	stock  string // its node with its application
	ours   string // the same over Switchyard
}

// tags of the builds: the tests' own, so that they need no other build, and the database of a network.
const tags = "-tags=bls12381,badgerdb"

// build copies CometBFT's sources and builds the programs. The copy stays as it is: what is ours is laid over it while
// our node is built.
func build(ctx context.Context, o options) (*programs, error) {
	source, err := filepath.Abs(o.source)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(o.dir, "cometbft")
	bin := filepath.Join(o.dir, "bin")
	p := &programs{e2e: filepath.Join(root, "test", "e2e"), runner: filepath.Join(bin, "runner"),
		stock: filepath.Join(bin, "stock"), ours: filepath.Join(bin, "ours")}
	if o.reuse {
		return p, nil
	}
	if err := cometsrc.Copy(ctx, o.version, root); err != nil {
		return nil, err
	}
	gomod, overlay, err := p.lay(ctx, root, source, filepath.Join(o.dir, "overlay"))
	if err != nil {
		return nil, err
	}
	node := []string{"build", tags}
	if o.race {
		node = append(node, "-race")
	}
	for _, args := range [][]string{
		{"build", tags, "-o", p.runner, "./test/e2e/runner"},
		append(node, "-o", p.stock, "./test/e2e/node"),
		append(node, "-o", p.ours, "-mod=mod", "-modfile="+gomod, "-overlay="+overlay, "./test/e2e/node"),
		{"test", "-tags=bls12381", "-count=1", "./test/e2e/tests"}, // they skip themselves, but are built
	} {
		if _, err := suitekit.Run(ctx, root, nil, "go", args...); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// lay writes what is ours to dir: a go.mod that requires this repository, an overlay, and the files that it names. The
// overlay gives the node of the e2e tests an option.
func (p *programs) lay(ctx context.Context, root, source, dir string) (gomod, overlay string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	read := func(name string) (data []byte) {
		if err == nil {
			data, err = os.ReadFile(name)
		}
		return data
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.WriteFile(path, data, 0o644)
		}
		return path
	}
	program := filepath.Join(p.e2e, "node", "main.go")
	text, last := read(program), []byte("nodeLogger,\n\t)") // the last argument of NewNode
	if err == nil && bytes.Count(text, last) != 1 {
		return "", "", fmt.Errorf("%s does not end one call with the argument nodeLogger", program)
	}
	option, openErr := ownText.ReadFile("testdata/node.go.txt")
	if openErr != nil {
		return "", "", openErr
	}
	replace, marshalErr := json.Marshal(map[string]any{"Replace": map[string]string{
		program: write("main.go", bytes.Replace(text, last, []byte("nodeLogger, switchyard(nodeKey),\n\t)"), 1)),
		filepath.Join(p.e2e, "node", "switchyard.go"): write("switchyard.go", option),
	}})
	if marshalErr != nil {
		return "", "", marshalErr
	}
	overlay = write("overlay.json", replace)
	gomod = write("ours.mod", read(filepath.Join(root, "go.mod")))
	write("ours.sum", read(filepath.Join(root, "go.sum")))
	if err != nil {
		return "", "", err
	}
	return gomod, overlay, cometsrc.Require(ctx, gomod, source)
}
