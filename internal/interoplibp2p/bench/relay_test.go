package main

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
)

// The comparison of relays works: a smoke test, of which the figures mean nothing.
func TestRelay(t *testing.T) {
	for name, make := range map[string]benchkit.OpenSwarm{"ours": openOurs, "floodsub": openTheirs("floodsub"),
		"gossipsub": openTheirs("gossipsub")} {
		t.Run(name, func(t *testing.T) {
			for _, top := range []benchkit.Topology{benchkit.StarOf(2), benchkit.Graph(4, 2)} {
				f, err := benchkit.RunSwarm(top, 1<<10, 8, 20*time.Millisecond, make)
				if err != nil || f.Items <= 0 || f.P50 <= 0 || f.P99 < f.P50 {
					t.Errorf("%s: %+v, %v", top.Name, f, err)
				}
			}
		})
	}
}
