package transport

import (
	"errors"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// FuzzParseAddress: what is accepted is canonical, round-trips, and means the same to go-multiaddr.
func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"/ip4/1.2.3.4/tcp/26656/mconn/" + hexID, "/ip6/2001:db8::1/tcp/1/mconn/" + hexUp, "/ip6/::ffff:1.2.3.4/tcp/01",
		"/dns4/Seed.Example.COM./tcp/26656", "/dns6/a/udp/1/quic-v1/p2p/" + edPeer, "/dns/a/tcp/1/ipfs/" + edCID,
		"/dnsaddr/a.example/p2p/" + rsaCID,
		"/memory/7/p2p/" + secpPeer, "/onion3/" + onion3 + ":1234", "/ip4/1.2.3.4/tcp/443/tls/sni/a.example/ws",
		"/ip4/1.2.3.4/udp/1/quic-v1/webtransport",
		hexID + "@1.2.3.4:26656", "mconn://" + hexID + "@[::1]:1", "tcp://a.example:1",
		"/ip4/1.2.3.4/tcp/1/http-path/a%2fb", "/ip6/fe80::1%1/tcp/1",
		"/ip4/1.2.3.4/tcp/1/p2p/" + edPeer + "/p2p-circuit", "/unix/a", "/ip4/1.2.3.4/tcp/1/",
		"/garlic32/" + strings.Repeat("a", 52),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			var typed *AddressError
			if !errors.As(err, &typed) || a != (Address{}) {
				t.Fatalf("%q is %q, %v", s, a, err)
			}
			return
		}
		checkAddress(t, a)
		// Where go-multiaddr reads the input itself, it finds the same components, except for what we normalise
		// further.
		m, err := ma.NewMultiaddr(s)
		if s[0] != '/' {
			return
		}
		if err != nil {
			t.Fatalf("go-multiaddr does not read %q: %v", s, err)
		}
		same := make(ma.Multiaddr, 0, len(m))
		for _, c := range m {
			switch c.Code() {
			case ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR:
				lower, err := ma.NewComponent(c.Protocol().Name, strings.ToLower(strings.TrimSuffix(c.Value(), ".")))
				if err != nil {
					t.Fatal(err)
				}
				c = *lower
			case ma.P_IP6:
				if v4, ok := strings.CutPrefix(c.Value(), "::ffff:"); ok && strings.Contains(v4, ".") {
					mapped, err := ma.NewComponent("ip4", v4)
					if err != nil {
						t.Fatal(err)
					}
					c = *mapped
				}
			}
			same = append(same, c)
		}
		if same.String() != a.String() {
			t.Fatalf("%q is %q, to go-multiaddr %q", s, a, same)
		}
	})
}

// FuzzParseNodeID: what is accepted is canonical.
func FuzzParseNodeID(f *testing.F) {
	for _, seed := range []string{"", hexID, hexUp, edPeer, edCID, rsaPeer, rsaCID, secpPeer, "1" + edPeer,
		"k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseNodeID(s)
		if err != nil {
			var typed *NodeIDError
			if !errors.As(err, &typed) || id != "" {
				t.Fatalf("%q is %q, %v", s, id, err)
			}
			return
		}
		if again, err := ParseNodeID(string(id)); err != nil || again != id {
			t.Fatalf("%q is %q, which is %q, %v", s, id, again, err)
		}
		if len(id) != 2*NodeIDSize && id.IsEd25519() || len(id) > 60 {
			t.Fatalf("%q has a strange form", id)
		}
	})
}
