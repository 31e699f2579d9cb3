// Command bench measures Switchyard beside CometBFT in one process and prints the ratios: set-ups, throughput, small messages, round trips, idle links.
// Both ends of everything run in this process over loopback TCP, from service to service: host channels on our side, reactors of a Switch on theirs.
package main

import "github.com/switchyard-p2p/switchyard/internal/benchkit"

const network = "bench-net"

// fullNode is the channels of a CometBFT full node, and one more.
var fullNode = []byte{0x20, 0x21, 0x22, 0x23, 0x30, 0x38, 0x40, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x7e}

func main() {
	one, all := newOurStar(nil), newOurStar(fullNode)
	theirOne, theirAll := newCometStar(nil), newCometStar(fullNode)
	benchkit.Main("CometBFT v0.40.0", []benchkit.Row{
		{Name: "set-ups, transport and handshake", Unit: "/s", Goal: ">= 2, bytes <= 0.1", Ours: benchkit.Setups(newOurUpgrades), Theirs: benchkit.Setups(newCometTransport)},
		{Name: "set-ups, whole nodes", Unit: "/s", Goal: ">= 2, bytes <= 0.1", Ours: benchkit.Setups(one), Theirs: benchkit.Setups(theirOne)},
		{Name: "64 KiB messages, one channel", Unit: "MB/s", Goal: ">= 1.8", Ours: benchkit.Rate(newOurPair, 64<<10, true), Theirs: benchkit.Rate(newCometPair, 64<<10, true)},
		{Name: "1 KiB messages", Unit: "/s", Goal: ">= 3, allocs <= 1", Ours: benchkit.Rate(newOurPair, 1<<10, false), Theirs: benchkit.Rate(newCometPair, 1<<10, false)},
		{Name: "100 B messages", Unit: "/s", Goal: ">= 2.5, allocs <= 1", Ours: benchkit.Rate(newOurPair, 100, false), Theirs: benchkit.Rate(newCometPair, 100, false)},
		{Name: "round trip 100 B, p50", Unit: "us", Goal: "<= 25 us", Ours: benchkit.RoundTrips(newOurPair, 0.5), Theirs: benchkit.RoundTrips(newCometPair, 0.5)},
		{Name: "round trip 100 B, p99", Unit: "us", Ours: benchkit.RoundTrips(newOurPair, 0.99), Theirs: benchkit.RoundTrips(newCometPair, 0.99)},
		{Name: "idle end, 1 channel", Unit: "B", Goal: "<= 24 kB", Ours: benchkit.AtRest(one, false), Theirs: benchkit.AtRest(theirOne, false)},
		{Name: "idle end, 14 channels", Unit: "B", Goal: "<= 24 kB", Ours: benchkit.AtRest(all, false), Theirs: benchkit.AtRest(theirAll, false)},
		{Name: "idle end, goroutines", Goal: "<= 2", Ours: benchkit.AtRest(one, true), Theirs: benchkit.AtRest(theirOne, true)},
	})
}
