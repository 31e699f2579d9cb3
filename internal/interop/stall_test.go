package interop

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestStalledPeer lets a CometBFT switch read nothing for 20 s, as one of its reactors can. Our node needs peers, so it
// asks for addresses all the time; the switch must not read two requests together afterwards, for which it would ban
// us.
func TestStalledPeer(t *testing.T) {
	t.Parallel()
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "stalled"})
	var dropped atomic.Int32
	c.Echo.Watch(func(_ string, up bool) {
		if !up {
			dropped.Add(1)
		}
	})
	goOn := make(chan struct{})
	answer := c.Echo.Swap(func(p2p.Envelope) { <-goOn })
	defer func() { c.Echo.Swap(answer) }()
	ours := node.Start(t, node.Config{Network: network, Moniker: "asking", Channels: []muxer.Channel{echoChannel},
		PEX: &pex.Config{}, Seeds: []string{c.Address()}})
	id := transport.NodeID(c.ID())
	waitFor(t, 20*time.Second, "linked", func() bool { _, up := ours.Host.Peer(id); return up })
	if !ours.Channels[0].TrySend(id, []byte("stall")) {
		t.Fatal("not sent")
	}
	over := time.After(20 * time.Second)
	<-over
	close(goOn)
	over = time.After(3 * time.Second)
	<-over
	if n := dropped.Load(); n > 0 {
		t.Errorf("the switch has dropped us %d times", n)
	}
}
