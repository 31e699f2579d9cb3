package main

import (
	"testing"
	"time"
)

// The comparison of relays works: a smoke test, of which the figures mean nothing.
func TestRelay(t *testing.T) {
	for name, make := range map[string]open{"ours": openOurs, "floodsub": openTheirs("floodsub"),
		"gossipsub": openTheirs("gossipsub")} {
		t.Run(name, func(t *testing.T) {
			for _, top := range []topology{star(2), graph(4, 2)} {
				f, err := runRelay(top, 1<<10, 8, 20*time.Millisecond, make)
				if err != nil || f.items <= 0 || f.p50 <= 0 || f.p99 < f.p50 {
					t.Errorf("%s: %+v, %v", top.name, f, err)
				}
			}
		})
	}
}
