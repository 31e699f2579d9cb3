package transport

import (
	"net/netip"
	"testing"
)

// TestOrdinary4 compares the short way with the lists: no listed range begins with an ordinary byte, and with each
// other byte one does.
func TestOrdinary4(t *testing.T) {
	special := append([]netip.Prefix{sharedSpace}, notUnicast...)
	// which netip knows
	for _, text := range []string{"10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
		"224.0.0.0/4"} {
		special = append(special, netip.MustParsePrefix(text))
	}
	for first := range 256 {
		all := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(first)}), 8)
		ordinary := true
		for _, p := range special {
			ordinary = ordinary && !p.Overlaps(all)
		}
		if isOrdinary4(byte(first)) != ordinary {
			t.Errorf("%v: ordinary %v, by the lists %v", all, isOrdinary4(byte(first)), ordinary)
		}
	}
}
