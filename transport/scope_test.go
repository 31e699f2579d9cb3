package transport

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestIsPublicIP(t *testing.T) {
	for text, want := range map[string]bool{
		"1.2.3.4": true, "223.255.255.255": true, "100.63.0.1": true, "172.32.0.1": true, "192.0.1.1": true,
		"0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "127.0.0.1": false, "169.254.1.1": false,
		"172.16.0.1": false, "192.0.0.8": false, "192.0.2.1": false, "192.168.1.1": false, "198.19.0.1": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"2a00::1": true, "2001:200::1": true, "2606:4700::1111": true, "3ffe::1": true,
		"::": false, "::1": false, "::1.2.3.4": false, "::ffff:1.2.3.4": true, "::ffff:10.1.2.3": false,
		"64:ff9b::1.2.3.4": true, "64:ff9b::10.0.0.1": false, "64:ff9b::127.0.0.1": false, "64:ff9b:1::1.2.3.4": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:102:304::1": false, "3fff::1": false,
		"4000::1": false, "5f00::1": false, "8000::1": false, "fc00::1": false, "fd12::1": false, "fe80::1": false,
		"fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := IsPublicIP(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v", text, got)
		}
	}
	if IsPublicIP(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}

// An IPv4 address is public in each form that leads to it, or in none; of IPv6, only what IANA gives out is.
func TestIsPublicIPByForm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		v4 := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, r.Uint32())))
		raw := v4.As16()
		public := IsPublicIP(v4)
		if IsPublicIP(netip.AddrFrom16(raw)) != public {
			t.Fatalf("%v, mapped", v4)
		}
		copy(raw[:12], nat64.Addr().AsSlice())
		if IsPublicIP(netip.AddrFrom16(raw)) != public {
			t.Fatalf("%v, by NAT64", v4)
		}
		clear(raw[:12])
		if IsPublicIP(netip.AddrFrom16(raw)) {
			t.Fatalf("%v, compatible", v4)
		}
		binary.BigEndian.PutUint64(raw[:], r.Uint64())
		if ip := netip.AddrFrom16(raw); raw[0]>>5 != 1 && IsPublicIP(ip) {
			t.Fatal(ip)
		}
	}
}
