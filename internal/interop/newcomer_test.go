package interop

import (
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestNewcomerAtAFullNode lets a CometBFT switch know only our node, whose one inbound slot is taken. Our node must
// tell it of the others before it refuses it, so that it does not stay alone.
func TestNewcomerAtAFullNode(t *testing.T) {
	ours := node.Start(t, node.Config{Network: network, Moniker: "full", Channels: []muxer.Channel{echoChannel},
		PEX:  &pex.Config{},
		Tune: func(c *host.Config) { c.Peers.MaxInbound, c.Peers.MaxOutbound, c.Peers.MaxUpgrades = 1, -1, -1 }})
	first := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "first",
		Seeds: []string{ours.Address().CometString()}})
	waitFor(t, 30*time.Second, "the first peer takes the slot", func() bool { return len(ours.Host.Peers()) == 1 })
	newcomer := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "newcomer",
		Seeds: []string{ours.Address().CometString()}})
	at, err := p2p.NewNetAddressString(first.Address())
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "the newcomer is told of the first peer", func() bool {
		return newcomer.Book.HasAddress(at)
	})
	if _, listed := ours.Host.Peer(transport.NodeID(first.ID())); !listed {
		t.Error("the first peer has lost its slot")
	}
}
