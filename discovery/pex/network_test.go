package pex_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
)

// Real hosts that know only a seed by trade find each other, and the seed's slots are free again.
func TestSeedOfRealHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{
			Nodes: 20, KnowFirst: true, Plain: true,
			Tune: func(n *hosttest.Node, c *host.Config) {
				c.Peers.MaxOutbound = 4
				if n.Index == 0 {
					c.Peers.MaxInbound = 30
				}
			},
			Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
				src, err := pex.New(pex.Config{Seed: n.Index == 0}, discovery.Env{OpenChannel: n.Host.OpenChannel})
				return []hosttest.Service{func(ctx context.Context) error {
					return src.Run(ctx, n.Host, n.Found("pex"))
				}}, err
			},
		})
		took := net.AwaitOutbound(4, net.Nodes[1:]...)
		t.Logf("connected after %v", took)
		if took > 20*time.Second {
			t.Error("too slow")
		}
		net.AssertTruth()
		time.Sleep(time.Minute)
		if visitors := len(net.Nodes[0].Peers()); visitors > 4+2 { // its own links, and who happens to visit
			t.Errorf("the seed holds %d links", visitors)
		}
		for _, n := range net.Nodes {
			for _, e := range n.Events(host.EventDown) {
				if e.Reason.Code.String() == "misbehaved" {
					t.Errorf("%s: %v", n.Name, e.Reason)
				}
			}
		}
	})
}
