//go:build !cometbft038 && !cometbft1

package cometbft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cometbft/cometbft/config"
)

// TestBesideLibp2pMode: ours link validators in CometBFT's libp2p mode with stock ones. They are guests, so ours name
// them.
func TestBesideLibp2pMode(t *testing.T) {
	for _, kinds := range []string{"LLbb", "sLbb"} {
		t.Run(kinds, func(t *testing.T) {
			net := newNetwork(t, kinds, nil)
			var guests []string
			for _, n := range net.nodes {
				if n.kind != 'L' {
					continue
				}
				guests = append(guests, fmt.Sprintf("%q", n.peerID()))
				l := n.cfg.P2P.LibP2PConfig
				l.Enabled = true
				for _, o := range net.nodes {
					if o != n && o.kind != 's' {
						l.BootstrapPeers = append(l.BootstrapPeers, config.LibP2PBootstrapPeer{
							Host: fmt.Sprintf("127.0.0.1:%d", o.port), ID: o.peerID(), Persistent: true})
					}
				}
				n.cfg.P2P.LibP2PConfig = l
				n.cfg.P2P.PersistentPeers = ""
			}
			for _, n := range net.nodes {
				if n.ours() {
					path := filepath.Join(n.cfg.RootDir, File)
					text, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					text = append(text, "peers.allow_guests = ["+strings.Join(guests, ", ")+"]\n"...)
					if err := os.WriteFile(path, text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			net.start()
			net.reach(3)
			net.agree()
		})
	}
}

// TestLibp2pMode: a node in CometBFT's libp2p mode has no Switch to replace. It does not start, and says so.
func TestLibp2pMode(t *testing.T) {
	net := newNetwork(t, "b", nil)
	n := net.nodes[0]
	n.cfg.P2P.LibP2PConfig.Enabled = true
	if err := n.try(t); !errors.Is(err, errLibp2pMode) {
		t.Errorf("got %v", err)
	}
}
