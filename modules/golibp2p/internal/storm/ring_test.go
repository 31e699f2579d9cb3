package storm

import (
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// In a ring of ours and theirs in turn every message crosses both kinds of links, and reaches all.
func TestRing(t *testing.T) {
	for name, start := range map[string]router{"gossipsub": pubsub.NewGossipSub, "floodsub": pubsub.NewFloodSub} {
		for _, via := range hostkit.Each {
			t.Run(name+" over "+string(via), func(t *testing.T) {
				hosts := mixture(t, often(20, 10), all(via))
				members := subscribe(t, hosts, start)
				for i, h := range hosts {
					if err := hostkit.Connect(within(t), h, hosts[(i+1)%len(hosts)]); err != nil {
						t.Fatal(err)
					}
				}
				ctx := within(t)
				each(t, members, func(_ int, m *member) error { return m.awaitPeers(ctx, 2) })
				if name == "gossipsub" { // it does not hand on what came before its mesh
					each(t, members, func(_ int, m *member) error { return m.mesh.await(ctx, 2) })
				}
				exchange(t, members, often(100, 20))
			})
		}
	}
}
