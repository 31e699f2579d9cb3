//go:build !cometbft038 && !cometbft1

package cometbft

import (
	"errors"
	"testing"
)

// TestLibp2pMode: a node in CometBFT's libp2p mode has no Switch to replace. It does not start, and says so.
func TestLibp2pMode(t *testing.T) {
	net := newNetwork(t, "b", nil)
	n := net.nodes[0]
	n.cfg.P2P.LibP2PConfig.Enabled = true
	if err := n.try(t); !errors.Is(err, errLibp2pMode) {
		t.Errorf("got %v", err)
	}
}
