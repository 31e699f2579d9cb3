package host

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

func group(n int) netip.Prefix { return transport.IPGroup(netip.AddrFrom4([4]byte{5, byte(n), 1, 1})) }

// Rounds of votes: who agrees, and who is not asked.
func TestAgree(t *testing.T) {
	const ours, other = "8.8.4.4:7", "9.9.9.9:7"
	for name, test := range map[string]struct {
		votes []string // group, address, and "in" for peers that dialed us
		want  string
	}{
		"nobody":               {nil, ""},
		"three groups":         {[]string{"1 " + ours, "2 " + ours, "3 " + ours}, ours},
		"two groups":           {[]string{"1 " + ours, "2 " + ours}, ""},
		"many of one group":    {[]string{"1 " + ours, "1 " + ours, "1 " + ours, "2 " + ours}, ""},
		"those that dialed us": {[]string{"1 " + ours, "2 " + ours, "3 " + ours + " in"}, ""},
		"half": {[]string{"1 " + ours, "2 " + ours, "3 " + ours, "4 " + other, "5 " + other,
			"6 " + other}, ""},
		"more than half": {[]string{"1 " + ours, "2 " + ours, "3 " + ours, "4 " + ours, "5 " + other,
			"6 " + other, "7 " + other}, ours},
		"a group of two minds": {[]string{"1 " + ours, "2 " + ours, "3 " + ours, "1 " + other, "2 " + other,
			"3 " + other}, ""},
		"a private address": {[]string{"1 10.0.0.1:7", "2 10.0.0.1:7", "3 10.0.0.1:7"}, ""},
		"many liars that dial us": {[]string{"1 " + ours, "2 " + ours, "3 " + ours, "4 " + other + " in",
			"5 " + other + " in", "6 " + other + " in", "7 " + other + " in"}, ours},
	} {
		var all []sighting
		for _, v := range test.votes {
			var g int
			var at, in string
			_, _ = fmt.Sscan(v+" .", &g, &at, &in)
			all = append(all, sighting{netip.MustParseAddrPort(at), "quic", group(g), in != "in"})
		}
		got := ""
		if at, ok := agree(all, 3)[agreedKey{"quic", true}]; ok {
			got = at.String()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	private := []sighting{} // peers of our own network see our address there, which is no news
	for i := range 4 {
		private = append(private, sighting{netip.MustParseAddrPort(ours), "quic",
			transport.IPGroup(netip.AddrFrom4([4]byte{10, byte(i), 0, 1})), true})
	}
	if got := agree(private, 3); len(got) > 0 {
		t.Errorf("private voters: %v", got)
	}
}

// saying makes a link to a peer that sees us at an address.
func saying(h *Host, n int, at string) {
	l := &link{num: uint64(n), ip: netip.AddrFrom4([4]byte{5, byte(n), 1, 1}),
		shake: &handshake.Link{Transport: "quic"}}
	l.shake.Remote.Observed = ma.StringCast(at).Bytes()
	h.links.up.Store(transport.NodeID(fmt.Sprint(n)), l)
}

// What peers agree on is advertised, outlives them for an hour, follows a new address, and stays behind the operator's
// word; so does what a gateway maps.
func TestReach(t *testing.T) {
	h, _ := newTestHost(t, testConfig())
	now := time.Now()
	expect := func(want ...string) {
		t.Helper()
		var got []string
		for _, m := range h.advertised() {
			got = append(got, m.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("advertised: %v, want %v", got, want)
		}
	}
	update := func(after time.Duration) {
		now = now.Add(after)
		h.Reach.update(now)
	}
	const first, second = "/ip4/8.8.4.4/udp/7/quic-v1", "/ip4/8.8.8.8/udp/7/quic-v1"
	for i := range 3 {
		expect()
		saying(h, i, first)
		update(time.Second)
	}
	expect(first)
	if seen := h.Reach.Observed(); len(seen) != 1 || seen[0].Peers != 3 || seen[0].Address.String() != first {
		t.Errorf("seen: %v", seen)
	}
	h.Reach.Set(ReachabilityPrivate) // whatever they say
	expect()
	h.Reach.Set(ReachabilityPublic)
	expect(first)
	if got := h.Reach.Status(); got != ReachabilityPublic || got.String() != "public" {
		t.Errorf("status %s", got)
	}
	h.links.up.Clear()
	update(agreedLife)
	expect(first)
	saying(h, 1, first)
	update(agreedLife / 2)
	h.links.up.Clear()
	update(agreedLife)
	expect(first)
	for i := range 4 {
		saying(h, i, second)
	}
	update(time.Second)
	expect(second)
	mapped := ma.StringCast("/ip4/7.7.7.7/tcp/7")
	h.Reach.Map([]ma.Multiaddr{mapped, ma.StringCast(second)})
	expect(mapped.String(), second)
	h.links.up.Clear()
	update(agreedLife + time.Second)
	h.Reach.Map(nil)
	expect()

	cfg := testConfig()
	cfg.External = []ma.Multiaddr{mapped}
	h, _ = newTestHost(t, cfg)
	for i := range 4 {
		saying(h, i, first)
	}
	update(time.Second)
	h.Reach.Map([]ma.Multiaddr{ma.StringCast(second)})
	expect(mapped.String())
}

// A peer may say anything of where it sees us.
func FuzzObserved(f *testing.F) {
	for _, seed := range []string{"/ip4/1.2.3.4/tcp/5",
		"/ip6/::ffff:1.2.3.4/udp/5/quic-v1", "/ip4/1.2.3.4", "/memory/7",
		"/dns/a/tcp/1", "/ip6zone/x/ip6/fe80::1/tcp/5", "/ip4/1.2.3.4/sctp/5"} {
		f.Add(ma.StringCast(seed).Bytes())
	}
	f.Add([]byte{4, 1, 2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		at, ok := addrPortOf(raw)
		if ok != at.IsValid() || ok && (at.Addr().Is4In6() || at.Addr().Zone() != "") {
			t.Fatalf("%x: %v, %v", raw, at, ok)
		}
	})
}
