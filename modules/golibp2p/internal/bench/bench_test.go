package main

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// The benchmark works: a smoke test, of which the figures mean nothing.
func TestBench(t *testing.T) {
	for name, make := range map[string]hostkit.Make{"ours": hostkit.Ours, "theirs": hostkit.Theirs} {
		t.Run(name, func(t *testing.T) {
			f, err := benchkit.RunSwarm(benchkit.Graph(4, 2), itemSize, 8, 20*time.Millisecond, openSwarm(make))
			if err != nil || f.Deliveries <= 0 || f.P50 <= 0 || f.P99 < f.P50 {
				t.Errorf("%+v, %v", f, err)
			}
			for name, measure := range map[string]benchkit.Measure{"echo": echoes(make, 0.5), "rate": echoRate(make)} {
				if f, err := measure(20 * time.Millisecond); err != nil || f.Value <= 0 {
					t.Errorf("%s: %+v, %v", name, f, err)
				}
			}
		})
	}
}
