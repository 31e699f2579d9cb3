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

// TestSimultaneousDial lets both ends dial at once, again and again. They must end with one link that both agree on.
//
// In about 1 of 150 rounds both goroutines of CometBFT (the dialer and the listener) take the peer for new
// (p2p/switch.go, addPeer: both run filterPeer before either runs peers.Add). The loser's end then removes the winner
// from the set, because they share the id, while its connection lives on. CometBFT counts no peer, yet answers on that
// link; it may be unable to dial again, because its list of connections still holds our address (p2p/transport.go,
// filterConn). Only the end of that link helps, so the test ends it; then there must be one link again.
func TestSimultaneousDial(t *testing.T) {
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "comet", NoPEX: true})
	forgotten := 0
	defer func() { t.Logf("CometBFT forgot the link that it keeps in %d rounds of 20", forgotten) }()
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
		id, began := transport.NodeID(c.ID()), time.Now()
		// one reports whether each end has the other as its only peer and a message comes back, so that both mean the
		// same link.
		one := func() bool {
			if _, up := ours.Host.Peer(id); !up || c.Peer(string(ours.Key.ID())) == nil ||
				!echoed(t, ours, id, byte(round)) {
				return false
			}
			return c.Switch.Peers().Size() == 1 && c.Peer(string(ours.Key.ID())) != nil && len(ours.Host.Peers()) == 1
		}
		if !within(3*time.Second, one) {
			if forgotten++; forgotten > 3 {
				t.Errorf("round %d: no agreement once more", round)
			}
			if _, up := ours.Host.Peer(id); !up || c.Peer(string(ours.Key.ID())) != nil {
				t.Errorf("round %d: our end has the link: %v; CometBFT's: %v", round, up,
					c.Peer(string(ours.Key.ID())) != nil)
			}
			ours.Host.Disconnect(id, muxer.CodeDuplicate, "the remote has forgotten this link")
			waitFor(t, 20*time.Second, "one link that both ends have, after the forgotten one has ended", one)
			t.Logf("round %d: one link after %v", round, time.Since(began))
		}
		ours.Stop()
		waitFor(t, 10*time.Second, "CometBFT sees that we have gone", func() bool {
			return c.Switch.Peers().Size() == 0
		})
	}
}

// echoed reports whether a message to the peer comes back soon. It discards the rest of an earlier one.
func echoed(t *testing.T, ours *node.Node, id transport.NodeID, b byte) bool {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	msg := []byte{b, 1, 2, 3}
	if ours.Channels[0].Send(ctx, id, msg) != nil {
		return false
	}
	for {
		e, err := ours.Channels[0].Receive(ctx)
		if err != nil {
			return false
		}
		if string(e.Message) == string(msg) {
			return true
		}
	}
}

// TestReconnects makes twenty reconnects in a row; the ends hang up in turn.
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
		var peer p2p.Peer // CometBFT may answer before its set has the peer
		waitFor(t, 10*time.Second, "CometBFT has the peer", func() bool {
			peer = c.Peer(string(ours.Key.ID()))
			return peer != nil
		})
		if i%2 == 0 {
			ours.Host.Disconnect(id, muxer.CodeRequested, "test")
		} else {
			c.Switch.StopPeerGracefully(peer)
		}
		waitFor(t, 10*time.Second, "both ends have let go", func() bool {
			_, up := ours.Host.Peer(id)
			return !up && c.Peer(string(ours.Key.ID())) == nil
		})
		cancel()
	}
}
