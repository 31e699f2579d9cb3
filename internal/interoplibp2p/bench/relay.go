package main

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
)

// relayRows compare our relay with go-libp2p-pubsub's floodsub and gossipsub.
func relayRows() (rows []benchkit.Row) {
	type goals struct{ items, cpu, latency, wire string }
	starGoals, largeGoals := goals{">= 2", "<= 0.5", "<= 0.8", ""}, goals{">= 0.9", "<= 1", "", ""}
	for _, c := range []struct {
		benchkit.Topology
		size, window int
		goals
	}{
		{benchkit.StarOf(10), 1 << 10, 256, starGoals},
		{benchkit.StarOf(50), 1 << 10, 256, starGoals},
		{benchkit.StarOf(10), 64 << 10, 32, largeGoals},
		{benchkit.StarOf(50), 64 << 10, 32, largeGoals},
		{benchkit.Graph(50, 8), 1 << 10, 256, goals{">= 4", "<= 0.25", "", "ours <= 1.3"}},
		{benchkit.Graph(50, 8), 64 << 10, 32, goals{"", "", "", "ours <= 1.05"}},
	} {
		series := func(open benchkit.OpenSwarm) *benchkit.SwarmSeries {
			return &benchkit.SwarmSeries{Run: func(d time.Duration) (benchkit.SwarmFigures, error) {
				return benchkit.RunSwarm(c.Topology, c.size, c.window, d, open)
			}}
		}
		ours := series(openOurs)
		for _, kind := range []string{"floodsub", "gossipsub"} {
			theirs := series(openTheirs(kind))
			for _, fig := range []struct {
				name, unit, goal string
				pick             func(benchkit.SwarmFigures) float64
			}{
				{"items", "/s", c.goals.items, func(f benchkit.SwarmFigures) float64 { return f.Items }},
				{"CPU a delivery", "us", c.goals.cpu, func(f benchkit.SwarmFigures) float64 { return f.CPU }},
				{"latency p50", "ms", c.goals.latency, func(f benchkit.SwarmFigures) float64 { return f.P50 }},
				{"latency p99", "ms", c.goals.latency, func(f benchkit.SwarmFigures) float64 { return f.P99 }},
				{"wire bytes a byte", "", c.goals.wire, func(f benchkit.SwarmFigures) float64 { return f.Wire }},
			} {
				goal := fig.goal
				if kind != "floodsub" {
					goal = ""
				}
				rows = append(rows, benchkit.Row{
					Name: fmt.Sprintf("relay and %s, %s, %d KiB: %s", kind, c.Topology.Name, c.size>>10, fig.name),
					Unit: fig.unit, Goal: goal, Ours: ours.Row(fig.pick), Theirs: theirs.Row(fig.pick)})
			}
		}
	}
	return rows
}
