package interop

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func wantReason(t *testing.T, err error, code muxer.Code) {
	t.Helper()
	var d *host.DisconnectError
	var r *handshake.Refusal
	if !(errors.As(err, &d) && d.Code == code) && !(errors.As(err, &r) && r.Code == code) {
		t.Errorf("the reason is %v, want %v", err, code)
	}
}

// TestSimultaneousDial: both ends dial at once, again and again, and always end with one link that both agree on. When two links of one peer start in the same
// moment, CometBFT can close one and drop the other from its set, though that one lives on: it then dials again (its PEX does so within 30 s, this test
// after a moment), and we take the new link in the place of the old one.
func TestSimultaneousDial(t *testing.T) {
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "comet", NoPEX: true})
	redials := 0
	defer func() { t.Logf("CometBFT lost track of the link and had to dial again in %d rounds of 20", redials) }()
	for round := range 20 {
		ours := node.Start(t, node.Config{Network: network, Moniker: "ours", Channels: []muxer.Channel{echoChannel}})
		addr, err := transport.ParseAddress(c.Address())
		if err != nil {
			t.Fatal(err)
		}
		at, err := p2p.NewNetAddressString(ours.Address().CometString())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { ours.Host.PeerManager().Add(addr, peerstore.Source{Kind: "config"}) })
		wg.Go(func() { _ = c.Switch.DialPeerWithAddress(at) })
		wg.Wait()
		id := transport.NodeID(c.ID())
		agreed := func() bool {
			_, up := ours.Host.Peer(id)
			return up && c.Peer(string(ours.Key.ID())) != nil
		}
		if !within(3*time.Second, agreed) {
			redials++
			waitFor(t, 20*time.Second, "one link that both ends have, after CometBFT dialed again", func() bool {
				_ = c.Switch.DialPeerWithAddress(at)
				return agreed()
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		msg := []byte{byte(round), 1, 2, 3}
		for { // a message proves that both mean the same link; the loser of the race may be closing
			if err := ours.Channels[0].Send(ctx, id, msg); err == nil {
				if e, err := ours.Channels[0].Receive(ctx); err == nil && string(e.Message) == string(msg) {
					break
				}
			}
			if ctx.Err() != nil {
				t.Fatalf("round %d: no echo over the link", round)
			}
		}
		cancel()
		if n := c.Switch.Peers().Size(); n != 1 {
			t.Errorf("round %d: CometBFT has %d peers", round, n)
		}
		if n := len(ours.Host.Peers()); n != 1 {
			t.Errorf("round %d: we have %d peers", round, n)
		}
		ours.Stop()
		waitFor(t, 10*time.Second, "CometBFT sees that we have gone", func() bool { return c.Switch.Peers().Size() == 0 })
	}
}

// TestReconnects: twenty reconnects in a row, both ends hanging up in turn.
func TestReconnects(t *testing.T) {
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "comet", NoPEX: true})
	ours := node.Start(t, node.Config{Network: network, Moniker: "ours", Channels: []muxer.Channel{echoChannel}})
	addr, err := transport.ParseAddress(c.Address())
	if err != nil {
		t.Fatal(err)
	}
	id := transport.NodeID(c.ID())
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		for { // a quick redial may be refused for some milliseconds, while CometBFT still removes the last link
			if _, err = ours.Host.Dial(ctx, addr); err == nil || ctx.Err() != nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("reconnect %d: %v", i, err)
		}
		if err := ours.Channels[0].Send(ctx, id, []byte{byte(i)}); err != nil {
			t.Fatalf("reconnect %d: %v", i, err)
		}
		e, err := ours.Channels[0].Receive(ctx)
		if err != nil || len(e.Message) != 1 || e.Message[0] != byte(i) {
			t.Fatalf("reconnect %d: echo %v, %v", i, e.Message, err)
		}
		if i%2 == 0 {
			ours.Host.Disconnect(id, muxer.CodeRequested, "test")
		} else {
			c.Switch.StopPeerGracefully(c.Peer(string(ours.Key.ID())))
		}
		waitFor(t, 10*time.Second, "both ends have let go", func() bool {
			_, up := ours.Host.Peer(id)
			return !up && c.Peer(string(ours.Key.ID())) == nil
		})
		cancel()
	}
}
