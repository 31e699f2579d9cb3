package host_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestReconfigure changes the settings of a host that has links: they follow.
func TestReconfigure(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 5}, func(t *testing.T, net *hosttest.Network) {
		hub := net.Nodes[0]
		for _, n := range net.Nodes[1:] {
			n.Dial(hub)
		}
		linked := func(want int, when string) {
			t.Helper()
			time.Sleep(time.Minute)
			if got := len(hub.Peers()); got != want {
				t.Errorf("%s: %d links, want %d", when, got, want)
			}
		}
		linked(4, "at first")

		// A node that is not dialed again at once keeps the picture still.
		set := func(cfg host.Config) {
			t.Helper()
			if err := host.Reconfigure(hub.Host, cfg); err != nil {
				t.Fatal(err)
			}
		}
		set(host.Config{Allow: []peerstore.Target{{ID: net.Nodes[1].Host.Self()}, {ID: net.Nodes[2].Host.Self()},
			{Prefix: netip.PrefixFrom(net.Nodes[3].IP(), 32)}}})
		linked(3, "one is no longer allowed")
		if hub.Has(net.Nodes[4]) {
			t.Error("the one that is not allowed is linked")
		}
		if err := hub.Host.PeerManager().BeginDial(net.Nodes[1].Address()); err == nil {
			t.Error("a peer that is linked may be dialed")
		}

		// Negative settings are refused, and change nothing.
		for _, bad := range []host.Config{
			{Handshake: host.HandshakeConfig{Limits: handshake.Limits{Handshakes: -1}}},
			{Peers: peers.Config{Persistent: []transport.Address{{}}}},
			{Allow: []peerstore.Target{{}}},
		} {
			if err := host.Reconfigure(hub.Host, bad); err == nil {
				t.Errorf("%+v was accepted", bad)
			}
		}
		linked(3, "after what was refused")

		set(host.Config{Peers: peers.Config{MaxInbound: -1}})
		time.Sleep(time.Minute)
		for _, e := range hub.Events(host.EventDown) {
			if e.Reason.Code != muxer.CodeFiltered && e.Reason.Code != muxer.CodeEvicted {
				t.Errorf("a link ended: %v", e.Reason)
			}
		}
		set(host.Config{Peers: peers.Config{Persistent: []transport.Address{net.Nodes[4].Address()}}})
		time.Sleep(5 * time.Minute)
		if !hub.Has(net.Nodes[4]) {
			t.Error("a new persistent peer is not linked")
		}
		if st, _ := hub.Host.PeerManager().Status(net.Nodes[4].Host.Self()); !st.Trusted {
			t.Errorf("%+v", st)
		}
		set(host.Config{})
		if st, _ := hub.Host.PeerManager().Status(net.Nodes[4].Host.Self()); st.Trusted {
			t.Errorf("%+v", st)
		}
	})
}
