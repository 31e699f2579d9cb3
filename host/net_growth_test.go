package host_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// wan is a network across a continent.
var wan = memory.Conditions{Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}

// Nodes that know nothing but one other fill all their slots, and all views agree on it.
func TestNodesThatKnowOneSeedConnectAsTheirLimitsAllow(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 30, KnowFirst: true, Services: withPEX, Conditions: wan},
		func(t *testing.T, net *hosttest.Network) {
			t.Logf("one network after %v", net.AwaitConnected())
			net.AwaitOutbound(8)
			t.Logf("8 outbound links each after %v", net.Since())
			if since := net.Since(); since > 10*time.Second {
				t.Errorf("that took %v", since)
			}
			net.AssertTruth()
		})
}

// The same with few inbound slots and a node that is a seed only: it tells addresses and hangs up, so that its slots
// are free for the next.
func TestNodesThatKnowOneCrowdedSeedConnectAsTheirLimitsAllow(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 30, KnowFirst: true, Conditions: wan,
		Tune: func(n *hosttest.Node, c *host.Config) { c.Peers.MaxInbound = 12 },
		Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			src, err := pex.New(pex.Config{Seed: n.Index == 0}, discovery.Env{OpenChannel: n.Host.OpenChannel})
			return []hosttest.Service{func(ctx context.Context) error { return src.Run(ctx, n.Host, n.Found("pex")) }},
				err
		},
	}, func(t *testing.T, net *hosttest.Network) {
		ordinary := net.Nodes[1:]
		t.Logf("all but the seed are one network after %v", net.AwaitConnected(ordinary...))
		net.AwaitOutbound(6, ordinary...)
		t.Logf("6 outbound links each after %v", net.Since())
		net.AwaitOutbound(8, ordinary...)
		t.Logf("8 outbound links each after %v", net.Since())
		net.AssertOneLinkPerPeer()
	})
}

// A network that is cut in two halves becomes one again, whichever way the cut shows: as silence or as broken
// connections, and also when it lasts so long that all links across have died and dials have failed many times.
func TestANetworkThatWasCutInTwoHeals(t *testing.T) {
	for mode, cuts := range map[memory.CutMode][]time.Duration{memory.Stall: {20 * time.Second, time.Hour},
		memory.Reset: {5 * time.Minute}} {
		for _, cut := range cuts {
			t.Run(fmt.Sprintf("%s for %v",
				map[memory.CutMode]string{memory.Stall: "silent", memory.Reset: "reset"}[mode], cut),
				func(t *testing.T) {
					inNet(t, hosttest.Options{Nodes: 10, KnowFirst: true, Services: withPEX, Conditions: wan,
						Plain:    true,
						Patience: 3 * time.Hour}, func(t *testing.T, net *hosttest.Network) {
						net.AwaitOutbound(8)
						left, right := net.Nodes[:5], net.Nodes[5:]
						net.Cut(mode, left)
						began := time.Now()
						if cut > 3*time.Minute {
							for _, a := range left {
								for _, b := range right {
									net.AwaitNoLink(a, b)
								}
							}
							t.Logf("the last link across was dead %v after the cut", time.Since(began))
							net.AwaitConnected(left...)
							net.AwaitConnected(right...)
						}
						time.Sleep(time.Until(began.Add(cut)))
						net.Heal()
						healed := net.AwaitConnected()
						t.Logf("one network %v after the heal", healed)
						// peers that were connected lately are looked for every 10 min at least
						if healed > 12*time.Minute {
							t.Errorf("the halves found each other only after %v", healed)
						}
						t.Logf("6 outbound links each %v later", net.AwaitOutbound(6))
						net.AssertTruth()
					})
				})
		}
	}
}
