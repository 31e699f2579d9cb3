//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// variant says which nodes of a network are ours.
type variant string

const (
	allStock variant = "stock"    // none
	mixed    variant = "mixed"    // every second one
	reversed variant = "reversed" // the others
	overQUIC variant = "quic"     // all, over QUIC alone
)

var variants = []variant{allStock, mixed, reversed, overQUIC}

// Images are what a manifest calls versions: CometBFT's runner has a container run the image of its version. What
// follows a colon means nothing, but lets a version differ from the one that a node upgrades to.
const (
	stockImage = "stock"
	oursImage  = "ours"
	quicImage  = "quic"
)

// manifest is CometBFT's description of a network.
type manifest map[string]any

// readManifest reads a network of ours or of CometBFT's, or a file.
func readManifest(p *programs, name string) (manifest, error) {
	data, err := ownText.ReadFile("testdata/networks/" + name + ".toml")
	if errors.Is(err, fs.ErrNotExist) {
		data, err = os.ReadFile(filepath.Join(p.e2e, "networks", name+".toml"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	m := manifest{}
	if err := toml.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// nodes returns the names of the nodes, sorted as CometBFT's runner does.
func (m manifest) nodes() []string {
	nodes, _ := m["node"].(map[string]any)
	return slices.Sorted(maps.Keys(nodes))
}

// adapt lets a network run here: over IPv4, with databases that need no C library, and with the nodes of a variant.
func (m manifest) adapt(v variant) error {
	delete(m, "ipv6")
	image, upgraded := map[variant]string{allStock: stockImage, mixed: oursImage, reversed: oursImage,
		overQUIC: quicImage}[v], ":again"
	m["upgrade_version"] = image + upgraded
	for i, name := range m.nodes() {
		node, ok := m["node"].(map[string]any)[name].(map[string]any)
		if !ok {
			return fmt.Errorf("node.%s is no table", name)
		}
		switch node["database"] {
		case "rocksdb":
			node["database"] = "badgerdb"
		case "cleveldb":
			node["database"] = "goleveldb"
		}
		node["version"] = image
		if v == mixed && i%2 == 0 || v == reversed && i%2 == 1 {
			node["version"] = stockImage
		}
	}
	return nil
}

func (m manifest) write(path string) error {
	data, err := toml.Marshal(map[string]any(m))
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
