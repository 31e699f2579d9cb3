package quic

import (
	"net"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// FuzzParse reads addresses: what is taken names a host in one way, and an address of UDP that was written as one is
// read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/ip4/127.0.0.1/udp/4001/quic-v1", "/ip6/::1/udp/0/quic-v1",
		"/dns/example.org/udp/65535/quic-v1", "/dns4/a/udp/1/quic-v1", "/dns6/a/udp/1/quic-v1",
		"/ip4/127.0.0.1/udp/4001/quic", "/ip4/127.0.0.1/tcp/4001", "/ip6zone/eth0/ip6/fe80::1/udp/1/quic-v1",
		"/ip4/1.2.3.4/udp/1/quic-v1/p2p-circuit", "/ip6/::ffff:1.2.3.4/udp/9/quic-v1"} {
		f.Add(ma.StringCast(s).Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ma.NewMultiaddrBytes(b)
		if err != nil {
			return
		}
		to, ok := parse(m)
		if !ok {
			return
		}
		if to.IP.IsValid() == (to.Host != "") || (to.Host != "") != (to.Network != "") || to.IP.Is4In6() {
			t.Fatalf("%s is read as %+v", m, to)
		}
		if !to.IP.IsValid() {
			return
		}
		written := multiaddr(net.UDPAddrFromAddrPort(to.AddrPort()))
		if again, ok := parse(written); !ok || again != to {
			t.Fatalf("%s is read as %+v, and written as %s", m, to, written)
		}
	})
}

// FuzzCodes takes close codes of remotes: ours come back as they were, and none is taken for that which means nothing.
func FuzzCodes(f *testing.F) {
	f.Add(uint64(0), "")
	f.Add(uint64(codeBase+4), "\xff\xfe")
	f.Add(uint64(1)<<62-1, string(make([]byte, 2000)))
	f.Fuzz(func(t *testing.T, n uint64, reason string) {
		code := fromWire(n)
		if n > codeBase && n <= codeBase+0xffff && toWire(code) != n {
			t.Fatalf("%#x became %v", n, code)
		}
		if code == 0 {
			t.Fatalf("%#x became %v", n, code)
		}
		if s := clip(reason); len(s) > 3*maxReason { // each byte that is not UTF-8 becomes one
			t.Fatalf("a reason of %d bytes", len(s))
		}
	})
}
