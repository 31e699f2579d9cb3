package host_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Two nodes that dial each other at about the same time end with one link, of which both know the same end, and no
// subscriber hears a peer come and go. Messages that are sent as soon as a subscriber hears of the peer arrive. Tried
// over each wire, and with one node that dials over comet and one over libp2p; with paths from none to slow and lossy,
// both ends first by anything from nothing to two round trips, and both orders of the node ids.
func TestSimultaneousDialsEndWithOneLink(t *testing.T) {
	for _, c := range []struct {
		first, second string // the wires that they dial over
		rounds        int
	}{{transport.WireComet, transport.WireComet, 16}, {transport.WireLibp2p, transport.WireLibp2p, 8},
		{transport.WireComet, transport.WireLibp2p, 8}} {
		for _, latency := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond, 400 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s and %s, latency %v", c.first, c.second, latency), func(t *testing.T) {
				for _, quarters := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8} { // of a round trip between the two dials
					for round := range c.rounds {
						ahead := time.Duration(quarters) * latency / 2
						inNet(t,
							hosttest.Options{Seed: uint64(quarters*c.rounds + round + 1), Plain: round > 0,
								Speaks: bothWires,
								Conditions: memory.Conditions{Latency: latency,
									Jitter: latency * time.Duration(round%3) / 4, Loss: float64(round%2) * 0.02},
								Services: greet,
								Tune: func(n *hosttest.Node, c *host.Config) {
									c.Handshake.Timeout = 10 * time.Second
								},
							}, func(t *testing.T, net *hosttest.Network) {
								first, second := net.Nodes[round%2], net.Nodes[1-round%2]
								for _, n := range net.Nodes {
									n.Collect(hosttest.TestChannel)
								}
								learnOver(first, second, c.first)
								time.Sleep(ahead)
								learnOver(second, first, c.second)
								net.AwaitLink(first, second)
								for i, n := range net.Nodes {
									hosttest.AssertNumbered(t,
										net.AwaitMessages(n, hosttest.TestChannel, net.Nodes[1-i], 1), 0, 100)
								}
								time.Sleep(2 * time.Minute)
								net.AssertNoFlap(first, second)
								net.AssertNoFlap(second, first)
								net.AssertTruth()
								if t.Failed() {
									t.Fatalf("ahead by %v, round %d; events of %s: %v; of %s: %v", ahead, round,
										first.Name,
										first.Events(""), second.Name, second.Events(""))
								}
							})
					}
				}
			})
		}
	}
}

func bothWires(*hosttest.Node) []string { return []string{transport.WireComet, transport.WireLibp2p} }

// learnOver tells a node one address of another.
func learnOver(n, other *hosttest.Node, wire string) {
	n.Host.PeerManager().Add(other.AddressOver(wire), peerstore.Source{Kind: peerstore.SourceConfig})
}

// greet sends a message to each peer the moment that a subscriber hears of it.
func greet(n *hosttest.Node) ([]hosttest.Service, error) {
	return []hosttest.Service{func(ctx context.Context) error {
		sub := n.Host.Subscribe(ctx)
		for {
			u, err := sub.Next(ctx)
			if err != nil {
				return err
			}
			if u.Status == host.PeerUp && !n.Channels[0].TrySend(u.ID, hosttest.Numbered(0, 100)) {
				return errors.New("a peer is up, and nothing can be sent to it")
			}
		}
	}}, nil
}

// All nodes of a network dial all others at the same moment.
func TestAllDialAllAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		inNet(t, hosttest.Options{Nodes: 8, Seed: seed + 1, Conditions: wan, Stopped: true, Plain: seed > 0},
			func(t *testing.T, net *hosttest.Network) {
				net.Start()
				for _, n := range net.Nodes {
					n.Learn(net.Nodes...)
				}
				for i, a := range net.Nodes {
					for _, b := range net.Nodes[i+1:] {
						net.AwaitLink(a, b)
					}
				}
				t.Logf("seed %d: everybody has everybody after %v", seed+1, net.Since())
				time.Sleep(2 * time.Minute)
				for i, a := range net.Nodes {
					for _, b := range net.Nodes[i+1:] {
						net.AssertNoFlap(a, b)
						net.AssertNoFlap(b, a)
					}
				}
				net.AssertTruth()
			})
	}
}
