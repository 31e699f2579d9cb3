package main

// batch is the size of the bufio.Writer that gathers messages on their stream.
const batch = 64 << 10

// measurements are the rows of the table.
func measurements() (all []measurement) {
	for _, v := range []struct {
		via, label, setups, stream string
	}{
		{"noise", "TCP+Noise", ">= 2.5, bytes <= 0.5", ">= 1.12"},
		{"tls", "TCP+TLS", ">= 2, bytes <= 0.5", ">= 1.1"},
		{"quic", "QUIC", ">= 1.4, bytes <= 0.5", ">= 1"},
	} {
		row := func(name, unit, goal string, ours, theirs func() (figure, error)) {
			all = append(all, measurement{name: v.label + ": " + name, unit: unit, goal: goal, ours: ours, theirs: theirs})
		}
		ourStar, theirStar := newOurStar(v.via), newTheirStar(v.via)
		row("set-ups, 16 in flight", "/s", v.setups, setups(ourStar), setups(theirStar))
		row("both ends ready, p50", "ms", "", readiness(ourStar), readiness(theirStar))
		row("one stream, 64 KiB writes", "MB/s", v.stream, rate(newOurStreams(v.via), 64<<10, true), rate(newTheirPair(v.via, 0), 64<<10, true))
		row("1 KiB on a channel : batched", "/s", ">= 0.9", rate(newOurPair(v.via), 1<<10, false), rate(newTheirPair(v.via, batch), 1<<10, false))
		row("1 KiB on a channel : flushed", "/s", ">= 5", rate(newOurPair(v.via), 1<<10, false), rate(newTheirPair(v.via, 1), 1<<10, false))
		row("channel round trip 100 B, p50", "us", "<= 1", roundTrips(newOurPair(v.via), 0.5), roundTrips(newTheirPair(v.via, 0), 0.5))
		row("stream round trip 100 B, p50", "us", "<= 1", roundTrips(newOurStreams(v.via), 0.5), roundTrips(newTheirPair(v.via, 0), 0.5))
		row("channel round trip 100 B, p99", "us", "", roundTrips(newOurPair(v.via), 0.99), roundTrips(newTheirPair(v.via, 0), 0.99))
		row("idle end, memory", "B", "<= 0.6", atRest(ourStar, false), atRest(theirStar, false))
		row("idle end, goroutines", "", "", atRest(ourStar, true), atRest(theirStar, true))
	}
	return all
}
