// Command bench measures Switchyard beside CometBFT in one process and prints the ratios: set-ups, throughput, small
// messages, round trips, idle links. Both ends of everything run in this process over loopback TCP, from service to
// service: host channels on our side, reactors of a Switch on theirs. A second table has nodes whose keys are in a
// signer beside others.
package main

import "github.com/switchyard-p2p/switchyard/internal/benchkit"

const network = "bench-net"

// fullNode is the channels of a CometBFT full node, and one more.
var fullNode = []byte{0x20, 0x21, 0x22, 0x23, 0x30, 0x38, 0x40, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x7e}

func main() {
	one, all := newOurStar(nil), newOurStar(fullNode)
	theirOne, theirAll := newCometStar(nil), newCometStar(fullNode)
	rate := func(size int, megabytes bool) (ours, theirs benchkit.Measure) {
		return benchkit.Rate(newOurPair, size, megabytes), benchkit.Rate(newCometPair, size, megabytes)
	}
	trip := func(q float64) (ours, theirs benchkit.Measure) {
		return benchkit.RoundTrips(newOurPair, q), benchkit.RoundTrips(newCometPair, q)
	}
	var rows []benchkit.Row
	row := func(name, unit, goal string, ours, theirs benchkit.Measure) {
		rows = append(rows, benchkit.Row{Name: name, Unit: unit, Goal: goal, Ours: ours, Theirs: theirs})
	}
	row("set-ups, transport and handshake", "/s", ">= 2", benchkit.Setups(newOurUpgrades(nil)),
		benchkit.Setups(newCometTransport))
	row("set-ups, whole nodes", "/s", ">= 2", benchkit.Setups(one), benchkit.Setups(theirOne))
	ours, theirs := rate(64<<10, true)
	row("64 KiB messages, one channel", "MB/s", ">= 2.2", ours, theirs)
	ours, theirs = rate(1<<10, false)
	row("1 KiB messages", "/s", ">= 2.5", ours, theirs)
	ours, theirs = rate(100, false)
	row("100 B messages", "/s", ">= 3", ours, theirs)
	ours, theirs = trip(0.5)
	row("round trip 100 B, p50", "us", "<= 30 us", ours, theirs)
	ours, theirs = trip(0.99)
	row("round trip 100 B, p99", "us", "", ours, theirs)
	row("idle end, 1 channel", "B", "<= 24 kB", benchkit.AtRest(one, false), benchkit.AtRest(theirOne, false))
	row("idle end, 14 channels", "B", "<= 24 kB", benchkit.AtRest(all, false), benchkit.AtRest(theirAll, false))
	row("idle end, goroutines", "", "<= 2", benchkit.AtRest(one, true), benchkit.AtRest(theirOne, true))
	benchkit.Main(benchkit.Table{Peer: "CometBFT v0.40.0", Rows: rows}, signerTable())
}
