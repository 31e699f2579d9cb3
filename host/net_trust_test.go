package host_test

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A persistent peer that is away is dialed for ever, at most a minute apart, and is a peer again soon after it has come
// back.
func TestAPersistentPeerIsRedialedForEver(t *testing.T) {
	inNet(t, hosttest.Options{Conditions: wan, Stopped: true,
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 1)}
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Start()
		const away = 30 * time.Hour // CometBFT gives up after a day
		time.Sleep(away)
		dials := a.Dials()
		var longest time.Duration
		for i := range dials[1:] {
			longest = max(longest, dials[i+1].At.Sub(dials[i].At))
		}
		if longest > time.Minute || len(dials) < int(away/time.Minute) {
			t.Errorf("%d dials in %v, the longest pause was %v; want none above 1m", len(dials), away, longest)
		}
		if wait := time.Since(dials[len(dials)-1].At); wait > time.Minute {
			t.Errorf("the last dial was %v ago", wait)
		}
		b.Start()
		if took := net.AwaitLink(a, b); took > time.Minute+time.Second {
			t.Errorf("linked only %v after it came back", took)
		}
		for range 3 { // it goes and comes again
			seen := len(a.Updates(b))
			b.Stop()
			net.AwaitUpdate(a, b, host.PeerDown, seen)
			b.Start()
			if took := net.AwaitLink(a, b); took > 10*time.Second {
				t.Errorf("linked only %v after a restart", took)
			}
		}
		net.AssertTruth()
	})
}

// Persistent peers have a budget of their own, which nobody else fills, and nobody else's arrival ends their links.
func TestPersistentPeersAreNeverEvicted(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 16, KnowFirst: true, Conditions: wan, Services: withPEX,
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Peers.MaxOutbound, c.Peers.MaxInbound = 1, 1
				c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 1), hosttest.AddressOf(n, 2),
					hosttest.AddressOf(n, 3)}
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, trusted := net.Nodes[0], net.Nodes[1:4]
		a.Learn(net.Nodes...)
		for _, b := range trusted {
			net.AwaitLink(a, b)
		}
		net.AwaitPeers(a, 5)
		net.AssertHolds("the persistent peers are up", 20*time.Minute, func() string {
			for _, b := range trusted {
				if !a.Has(b) {
					return b.Name + " is not."
				}
			}
			return ""
		})
		for _, b := range trusted {
			net.AssertNoFlap(a, b)
		}
		if c := a.Host.PeerManager().Counts(); c.Trusted != 3 || c.Inbound != 1 || c.Outbound != 1 {
			t.Errorf("the counts are %+v", c)
		}
		net.AssertTruth()
	})
}

// No node ever hears of a peer that another one has configured as private, though all exchange peers for an hour.
func TestPrivatePeersAreNeverAdvertised(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 8, KnowFirst: true, Conditions: wan, Services: withPEX,
		Tune: func(n *hosttest.Node, c *host.Config) {
			hidden := n.Index == 7
			switch {
			case n.Index == 0: // the sentry
				c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 7)}
				c.Peers.Private = []transport.NodeID{hosttest.AddressOf(n, 7).ID()}
			case hidden: // behind it
				c.Peers.MaxOutbound = -1
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		sentry, hidden := net.Nodes[0], net.Nodes[7]
		net.AwaitLink(sentry, hidden)
		net.AwaitOutbound(8, net.Nodes[1:7]...)
		time.Sleep(20 * time.Minute) // everybody is asked many times
		net.AwaitLink(sentry, hidden)
		for _, n := range net.Nodes[1:7] {
			if rec, ok := n.Store.Get(hidden.ID); ok {
				t.Errorf("%s knows of the private peer: %+v", n.Name, rec)
			}
		}
		if peers := hidden.Peers(); len(peers) != 1 {
			t.Errorf("the private peer has %d peers, want the sentry alone", len(peers))
		}
	})
}

// Inbound slots are not overdrawn; the refusal names the limit where it is logged; an unconditional peer comes in all
// the same, and a peer that was refused gets in when a slot is free.
func TestMaxInboundRefusesWithItsName(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 7, KnowFirst: true, Conditions: wan, Stopped: true,
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Peers.MaxInbound, c.Peers.MaxOutbound = 2, -1
				c.Peers.Unconditional = []transport.NodeID{hosttest.AddressOf(n, 6).ID()}
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a := net.Nodes[0]
		a.Start()
		for _, n := range net.Nodes[1:3] {
			n.Start()
			net.AwaitLink(a, n)
		}
		for _, n := range net.Nodes[3:6] {
			n.Start()
			e := net.AwaitEvent(a, "a refusal that names peers.max_inbound", func(e host.Event) bool {
				return e.Kind == host.EventRefused && e.Reason.Limit == "peers.max_inbound"
			})
			if e.Reason.Code != muxer.CodeTooManyPeers || !e.Inbound {
				t.Errorf("the refusal is %+v: %v", e, e.Reason)
			}
			net.AssertNoPeer(a, n, 3*time.Minute)
			if updates := n.Updates(a); len(updates) != 0 {
				t.Errorf("%s was refused, and its subscriber heard %v", n.Name, updates)
			}
		}
		net.Nodes[6].Start()
		net.AwaitLink(a, net.Nodes[6])
		if c := a.Host.PeerManager().Counts(); c.Inbound != 2 || c.Trusted != 1 {
			t.Errorf("the counts are %+v", c)
		}
		net.Nodes[1].Stop()
		net.AwaitPeers(a, 2)
		net.Await("a node that was refused has come in", func() string {
			if slices.ContainsFunc(a.Peers(), func(p *hosttest.Node) bool { return p.Index >= 3 && p.Index < 6 }) {
				return ""
			}
			return "None has."
		})
		net.AssertTruth()
	})
}
