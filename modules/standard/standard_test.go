package standard

import (
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/modules"
)

// TestPlugins shows that the stock plug-ins make a node, that each list is its own, and what they are called.
func TestPlugins(t *testing.T) {
	cfg := modules.Default()
	cfg.Home = filepath.Join(t.TempDir(), "node")
	cfg.Services["echo"] = modules.Table{"enabled": true}
	if err := fx.ValidateApp(modules.Node(cfg, Plugins()...)); err != nil {
		t.Error(err)
	}
	clear(Plugins())
	var names []string
	for _, p := range Plugins() {
		names = append(names, p.Name())
	}
	want := []string{"tcp", "quic", "comet", "libp2p", "noise", "tls", "yamux", "pex", "static", "dns", "file",
		"http", "mdns", "signer", "echo", "relay", "chain", "nat", "autonat"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
