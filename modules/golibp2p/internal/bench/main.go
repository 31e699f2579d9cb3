// Command bench measures hosts of package golibp2p beside go-libp2p's own in one process and prints the ratios: what
// gossipsub delivers over them, what a stream costs, what a host holds. All speak Noise and yamux over TCP on loopback;
// the programs over them, and their parameters, are the same.
package main

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// What gossipsub delivers: items of 1 KiB, so many in flight, over a graph of this degree.
const (
	itemSize = 1 << 10
	inFlight = 256
	degree   = 8
)

func main() {
	benchkit.Main(benchkit.Table{Peer: "go-libp2p v0.51.0", Rows: append(append(gossip(), streams()...), memory()...)})
}

// gossip compares networks of gossipsub. A series measures once a round what its rows show.
func gossip() (rows []benchkit.Row) {
	for _, nodes := range []int{20, 50} {
		top := benchkit.Graph(nodes, degree)
		series := func(make hostkit.Make) *benchkit.SwarmSeries {
			return &benchkit.SwarmSeries{Run: func(d time.Duration) (benchkit.SwarmFigures, error) {
				return benchkit.RunSwarm(top, itemSize, inFlight, d, openSwarm(make))
			}}
		}
		ours, theirs := series(hostkit.Ours), series(hostkit.Theirs)
		for _, fig := range []struct {
			name, unit, goal string
			pick             func(benchkit.SwarmFigures) float64
		}{
			{"deliveries", "/s", "> 1", func(f benchkit.SwarmFigures) float64 { return f.Deliveries }},
			{"CPU a delivery", "us", "<= 1.2", func(f benchkit.SwarmFigures) float64 { return f.CPU }},
			{"latency p50", "ms", "<= 1.2", func(f benchkit.SwarmFigures) float64 { return f.P50 }},
			{"latency p99", "ms", "<= 1.2", func(f benchkit.SwarmFigures) float64 { return f.P99 }},
			{"wire bytes a byte", "", "", func(f benchkit.SwarmFigures) float64 { return f.Wire }},
		} {
			rows = append(rows, benchkit.Row{Name: fmt.Sprintf("gossipsub, %s: %s", top.Name, fig.name),
				Unit: fig.unit, Goal: fig.goal, Ours: ours.Row(fig.pick), Theirs: theirs.Row(fig.pick)})
		}
	}
	return rows
}

// streams compares what it takes to open a stream, send 100 B and read them back.
func streams() []benchkit.Row {
	return []benchkit.Row{
		{Name: "stream, open and echo 100 B, p50", Unit: "us", Goal: "<= 1.2",
			Ours: echoes(hostkit.Ours, 0.5), Theirs: echoes(hostkit.Theirs, 0.5)},
		{Name: "stream, open and echo 100 B, p99", Unit: "us", Goal: "<= 1.2",
			Ours: echoes(hostkit.Ours, 0.99), Theirs: echoes(hostkit.Theirs, 0.99)},
		{Name: "stream, open and echo 100 B, 16 at once", Unit: "/s", Goal: ">= 0.83",
			Ours: echoRate(hostkit.Ours), Theirs: echoRate(hostkit.Theirs)},
	}
}

// memory compares what hosts hold.
func memory() (rows []benchkit.Row) {
	row := func(name, unit, goal string, links int, pick func(benchkit.Held) float64) {
		rows = append(rows, benchkit.Row{Name: "host, " + name, Unit: unit, Goal: goal,
			Ours: holds(hostkit.Ours, links, pick), Theirs: holds(hostkit.Theirs, links, pick)})
	}
	heap := func(h benchkit.Held) float64 { return h.Heap }
	memory := func(h benchkit.Held) float64 { return h.Heap + h.Stacks }
	goroutines := func(h benchkit.Held) float64 { return h.Goroutines }
	row("no links: heap", "B", "<= 1", 0, heap)
	row("no links: heap and stacks", "B", "<= 1", 0, memory)
	row("no links: goroutines", "", "", 0, goroutines)
	row("8 links: heap", "B", "<= 1", degree, heap)
	row("8 links: heap and stacks", "B", "<= 1", degree, memory)
	row("8 links: goroutines", "", "", degree, goroutines)
	return rows
}
