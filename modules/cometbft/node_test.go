package cometbft

import "testing"

// TestNetworks runs validators of each kind together. They must make the same blocks, and commit a transaction through
// each of them.
func TestNetworks(t *testing.T) {
	for _, kinds := range []string{"mm", "ssmm", "qq", "sqbb"} {
		t.Run(kinds, func(t *testing.T) {
			net := newNetwork(t, kinds, nil)
			net.start()
			net.reach(3)
			net.agree()
		})
	}
}
