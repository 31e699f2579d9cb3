// Command bench measures Switchyard beside go-libp2p v0.51.0 in one process and prints the ratios: set-ups, throughput,
// small messages, round trips, idle links, over TCP+Noise, TCP+TLS and QUIC. Both ends of everything run in this
// process over loopback. Ours are whole hosts, and messages go from service to service through host channels; theirs
// are whole hosts, too, with length-prefixed messages on a bare stream, as go-libp2p has no channels.
package main

import "github.com/switchyard-p2p/switchyard/internal/benchkit"

const network = "bench-net"

// batch is the size of the bufio.Writer that gathers messages on their stream.
const batch = 64 << 10

func main() {
	var rows []benchkit.Row
	for _, v := range []struct {
		via, label, setups string
	}{
		{"noise", "TCP+Noise", ">= 2.3"},
		{"tls", "TCP+TLS", ">= 1.6"},
		{"quic", "QUIC", ">= 1.25"},
	} {
		row := func(name, unit, goal string, ours, theirs benchkit.Measure) {
			rows = append(rows,
				benchkit.Row{Name: v.label + ": " + name, Unit: unit, Goal: goal, Ours: ours, Theirs: theirs})
		}
		ourStar, theirStar := newOurStar(v.via), newTheirStar(v.via)
		ours, streams := newOurPair(v.via), newOurStreams(v.via)
		bare, batched, flushed := newTheirPair(v.via, 0), newTheirPair(v.via, batch), newTheirPair(v.via, 1)
		row("set-ups, 16 in flight", "/s", v.setups, benchkit.Setups(ourStar), benchkit.Setups(theirStar))
		row("both ends ready, p50", "ms", "", benchkit.Readiness(ourStar), benchkit.Readiness(theirStar))
		row("one stream, 64 KiB writes", "MB/s", ">= 1.1",
			benchkit.Rate(streams, 64<<10, true), benchkit.Rate(bare, 64<<10, true))
		row("1 KiB on a channel : batched", "/s", ">= 0.9",
			benchkit.Rate(ours, 1<<10, false), benchkit.Rate(batched, 1<<10, false))
		row("1 KiB on a channel : flushed", "/s", ">= 4",
			benchkit.Rate(ours, 1<<10, false), benchkit.Rate(flushed, 1<<10, false))
		row("channel round trip 100 B, p50", "us", "<= 1.2", benchkit.RoundTrips(ours, 0.5),
			benchkit.RoundTrips(bare, 0.5))
		row("stream round trip 100 B, p50", "us", "<= 1.2", benchkit.RoundTrips(streams, 0.5),
			benchkit.RoundTrips(bare, 0.5))
		row("channel round trip 100 B, p99", "us", "", benchkit.RoundTrips(ours, 0.99), benchkit.RoundTrips(bare, 0.99))
		row("idle end, memory", "B", "<= 1", benchkit.AtRest(ourStar, false), benchkit.AtRest(theirStar, false))
		row("idle end, goroutines", "", "<= theirs + 1", benchkit.AtRest(ourStar, true),
			benchkit.AtRest(theirStar, true))
	}
	rows = append(rows, relayRows()...)
	benchkit.Main(benchkit.Table{Peer: "go-libp2p v0.51.0", Rows: rows})
}
