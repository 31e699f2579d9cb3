package book

import (
	"net/netip"
	"testing"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// BenchmarkBanned looks up an IP and a node among 100,000 bans of six kinds of targets.
func BenchmarkBanned(b *testing.B) {
	book := New(peerstore.Limits{}, 1)
	for n := range 100_000 {
		ip := netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)})
		t := peerstore.Target{ID: testID(n)}
		if bits := []int{0, 32, 24, 28, 30, 31}[n%6]; bits > 0 {
			t = peerstore.Target{Prefix: netip.PrefixFrom(ip, bits)}
		}
		if err := book.Ban(peerstore.Ban{Target: t}); err != nil {
			b.Fatal(err)
		}
	}
	id, ip := testID(1), netip.MustParseAddr("13.1.2.3")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := book.Banned(id, ip, t0); ok {
			b.Fatal("banned")
		}
	}
}
