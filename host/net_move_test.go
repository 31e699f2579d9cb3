package host_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

var moveChannels = []muxer.Channel{
	{ID: 1, Name: "/test/one", SendQueue: 16 << 10, ReceiveQueue: 16 << 10},
	{ID: 2, Name: "/test/two", Priority: 10},
	{ID: 3, Name: "/test/three", MaxMessage: 1 << 20},
}

// movers are nodes that speak both wires and move links to libp2p.
func movers(o hosttest.Options) hosttest.Options {
	o.Channels = moveChannels
	o.Speaks = func(*hosttest.Node) []string { return []string{transport.WireComet, transport.WireLibp2p} }
	tune := o.Tune
	o.Tune = func(n *hosttest.Node, c *host.Config) {
		c.MoveTo = func(a transport.Address) bool { return a.Wire() == transport.WireLibp2p }
		if tune != nil {
			tune(n, c)
		}
	}
	return o
}

// wireOf returns the wire of the link from a node to another one; "" for none.
func wireOf(n, other *hosttest.Node) string {
	p, _ := n.Host.Peer(other.ID)
	return p.Wire
}

// A link moves from comet to libp2p while both ends send all they can on every channel: nothing is lost, nothing comes
// twice or out of order, and no subscriber hears of it.
func TestMove(t *testing.T) {
	for name, conditions := range map[string]memory.Conditions{
		"at once": {}, "over a WAN": wan, "slow": {Latency: 200 * time.Millisecond, Bandwidth: 200 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			inNet(t, movers(hosttest.Options{Conditions: conditions}), func(t *testing.T, net *hosttest.Network) {
				a, b := net.Nodes[0], net.Nodes[1]
				a.Dial(b)
				net.AwaitLink(a, b)
				before, _ := a.Host.Peer(b.ID)
				if before.Wire != transport.WireComet {
					t.Fatalf("the link is over %s", before.Wire)
				}
				var wg sync.WaitGroup
				var sent [2][len(moveChannelIDs)]int
				stop := time.Now().Add(8 * time.Second)
				for i, n := range []*hosttest.Node{a, b} {
					other := []*hosttest.Node{b, a}[i]
					for c, id := range moveChannelIDs {
						n.Collect(id)
						wg.Go(func() {
							for time.Now().Before(stop) {
								size := 8 + 100*c
								if err := n.Channel(id).Send(t.Context(), other.ID,
									hosttest.Numbered(sent[i][c], size)); err != nil {
									t.Errorf("%s sends message %d: %v", n.Name, sent[i][c], err)
									return
								}
								if sent[i][c]++; sent[i][c]%20 == 0 {
									time.Sleep(5 * time.Millisecond)
								}
							}
						})
					}
				}
				wg.Wait()
				for i, n := range []*hosttest.Node{b, a} {
					other := []*hosttest.Node{a, b}[i]
					for c, id := range moveChannelIDs {
						got := net.AwaitMessages(n, id, other, sent[i][c])
						if len(got) != sent[i][c] {
							t.Errorf("%d of %d messages arrived", len(got), sent[i][c])
						}
						hosttest.AssertNumbered(t, got, 0, 8+100*c)
					}
					p, _ := n.Host.Peer(other.ID)
					if p.Wire != transport.WireLibp2p || p.Connected.Sub(before.Connected).Abs() > 2*time.Second {
						t.Errorf("%s has a link over %s, up since %s", n.Name, p.Wire, p.Connected)
					}
					net.AssertNoFlap(n, other)
				}
				if after, _ := a.Host.Peer(b.ID); after.Peering != before.Peering {
					t.Errorf("peering %d became %d", before.Peering, after.Peering)
				}
				net.AssertHolds("one link", time.Minute, func() string {
					if wireOf(a, b) != transport.WireLibp2p || wireOf(b, a) != transport.WireLibp2p {
						return "the link to have moved for good"
					}
					return ""
				})
			})
		})
	}
}

var moveChannelIDs = [...]byte{1, 2, 3}

// A link stays where it is if one end does not move links, or if the two do not have the same channels there.
func TestNoMove(t *testing.T) {
	for name, tune := range map[string]func(n *hosttest.Node, c *host.Config){
		"one end does not want to": func(n *hosttest.Node, c *host.Config) {
			if n.Index == 1 {
				c.MoveTo = nil
			}
		},
		"the other end does not want to": func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.MoveTo = nil
			}
		},
		"there is nowhere to go": func(n *hosttest.Node, c *host.Config) {
			if c.MoveTo != nil {
				c.MoveTo = func(transport.Address) bool { return false }
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inNet(t, movers(hosttest.Options{Tune: tune}), func(t *testing.T, net *hosttest.Network) {
				a, b := net.Nodes[0], net.Nodes[1]
				a.Dial(b)
				net.AwaitLink(a, b)
				net.AssertHolds("the link", 10*time.Minute, func() string {
					if wireOf(a, b) != transport.WireComet || wireOf(b, a) != transport.WireComet {
						return "it to stay over comet"
					}
					return ""
				})
				net.AssertNoFlap(a, b)
				net.AssertNoFlap(b, a)
			})
		})
	}
}

// The end that was dialed moves the link if the other one does not. Who dialed whom stays as it was.
func TestMoveByTheOtherEnd(t *testing.T) {
	tune := func(n *hosttest.Node, c *host.Config) {
		if n.Index == 0 {
			c.MoveTo = func(transport.Address) bool { return false }
		}
	}
	inNet(t, movers(hosttest.Options{Tune: tune}), func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		net.Await("a move", func() string {
			if wireOf(a, b) != transport.WireLibp2p || wireOf(b, a) != transport.WireLibp2p {
				return "the link to move"
			}
			return ""
		})
		ofB, _ := a.Host.Peer(b.ID)
		ofA, _ := b.Host.Peer(a.ID)
		if ofB.Inbound || !ofA.Inbound {
			t.Errorf("inbound: %v at the end that dialed, %v at the other", ofB.Inbound, ofA.Inbound)
		}
		net.AssertNoFlap(a, b)
	})
}

// Nodes that find each other in all ways move all their links, and each pair has one peering all along.
func TestMoveOfANetwork(t *testing.T) {
	inNet(t, movers(hosttest.Options{Nodes: 6, Conditions: wan}), func(t *testing.T, net *hosttest.Network) {
		for i, n := range net.Nodes {
			for _, other := range net.Nodes[i+1:] {
				from, to := n, other
				if (i+other.Index)%2 == 0 {
					from, to = to, from
				}
				from.Dial(to)
				if i == 0 { // and at once from the other end
					to.Dial(from)
				}
			}
		}
		net.Await("every link to move", func() string {
			for _, n := range net.Nodes {
				for _, other := range net.Nodes {
					if n != other && wireOf(n, other) != transport.WireLibp2p {
						return n.Name + " to have moved its link to " + other.Name
					}
				}
			}
			return ""
		})
	})
}

// When the old link breaks in the middle of a move, something may be lost: then the peer goes down at both ends.
func TestMoveThatBreaks(t *testing.T) {
	inNet(t, movers(hosttest.Options{Conditions: memory.Conditions{Latency: time.Second}}),
		func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			events := a.Host.Events(ctx)
			a.Dial(b)
			net.AwaitLink(a, b)
			for e := range events {
				if e.Kind == host.EventMoved {
					break
				}
			}
			net.Break(a, b) // the end marks are on their way
			net.AwaitUpdate(a, b, peers.Down, 0)
			net.AwaitUpdate(b, a, peers.Down, 0)
		})
}
