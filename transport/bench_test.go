package transport

import (
	"fmt"
	"runtime"
	"testing"
)

func BenchmarkParseAddress(b *testing.B) {
	for _, bench := range []struct{ name, in string }{
		{"mconn", "/ip4/1.2.3.4/tcp/26656/mconn/" + hexID},
		{"comet", hexID + "@1.2.3.4:26656"},
		{"dns", hexID + "@seed.example.com:26656"},
		{"p2p", "/ip4/1.2.3.4/tcp/4001/p2p/" + edPeer},
		{"quic", "/ip4/1.2.3.4/udp/4001/quic-v1/p2p/" + edPeer},
		{"memory", "/memory/7/mconn/" + hexID},
		{"wss", "/dns/a.example/tcp/443/tls/ws/p2p/" + edPeer},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseAddress(bench.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMultiaddr(b *testing.B) {
	a, _ := ParseAddress("/ip4/1.2.3.4/tcp/26656/mconn/" + hexID)
	b.ReportAllocs()
	for b.Loop() {
		a.Multiaddr()
	}
}

// BenchmarkHeld reports the bytes that one address of a million holds, its struct included.
func BenchmarkHeld(b *testing.B) {
	for _, bench := range []struct{ name, format string }{
		{"mconn", "/ip4/%d.%d.%d.4/tcp/26656/mconn/" + hexID},
		{"p2p", "/ip4/%d.%d.%d.4/tcp/4001/p2p/" + edPeer},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				const many = 1_000_000
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				held := make([]Address, many)
				for i := range held {
					held[i], _ = ParseAddress(fmt.Sprintf(bench.format, i>>16, i>>8&255, i&255))
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/address")
				runtime.KeepAlive(held)
			}
		})
	}
}
