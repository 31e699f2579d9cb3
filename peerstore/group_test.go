package peerstore

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/transport"
)

func groupOf(t *testing.T, g *Groups, text string) Group {
	t.Helper()
	a, err := transport.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return g.Of(a)
}

func TestGroups(t *testing.T) {
	var g *Groups
	same := [][2]string{
		{"9.1.2.3:1", "9.1.255.255:2"},
		{"[2600:1:2::3]:1", "[2600:1:ffff::1]:1"},
		{"[2002:901:203::1]:1", "9.1.0.1:1"},       // 6to4
		{"[64:ff9b::901:203]:1", "9.1.0.1:1"},      // NAT64
		{"[2001:0:1:2::f6fe:fdfc]:1", "9.1.0.1:1"}, // Teredo
		{"a.b.example.co.uk:1", "example.co.uk:2"}, // registered
		{"x.github.io:1", "y.github.io:1"},         // a public suffix of a private owner is one
		{"10.1.2.3:1", "10.1.2.3:2"},               // a private IP
		{"/memory/7", "/memory/7"},
		{"/dns4/a.example.com/tcp/1", "/dnsaddr/example.com"},
	}
	for _, p := range same {
		if a, b := groupOf(t, g, p[0]), groupOf(t, g, p[1]); a != b || a.IsZero() {
			t.Errorf("%s is in %v, %s in %v", p[0], a, p[1], b)
		}
	}
	differ := [][2]string{
		{"9.1.2.3:1", "9.2.2.3:1"}, {"[2600:1::]:1", "[2600:2::]:1"}, {"a.com:1", "b.com:1"},
		{"a.co.uk:1", "b.co.uk:1"},
		{"10.1.2.3:1", "10.1.2.4:1"}, {"127.0.0.1:1", "127.0.0.1:2"}, {"/memory/7", "/memory/8"},
		{"[::1]:1", "127.0.0.1:1"},
	}
	for _, p := range differ {
		if a, b := groupOf(t, g, p[0]), groupOf(t, g, p[1]); a == b {
			t.Errorf("%s and %s are both in %v", p[0], p[1], a)
		}
	}
	onions := make(map[Group]bool)
	for _, c := range "abcdefghijklmnopqrstuvwxyz234567" {
		onions[groupOf(t, g, "/onion3/"+strings.Repeat(string(c), 56)+":80")] = true
	}
	if len(onions) != 16 {
		t.Error(len(onions), "groups of onions")
	}
	for text, want := range map[string]string{"9.1.2.3:1": "9.1.0.0/16", "[2600:1:2::3]:1": "2600:1::/32"} {
		if got := groupOf(t, g, text).String(); got != want {
			t.Errorf("%s is in %s", text, got)
		}
	}
	ip := netip.MustParseAddr("9.1.2.3")
	if g.OfSource(Source{Kind: "pex", IP: ip}) != groupOf(t, g, "9.1.0.0:1") {
		t.Error("a source's IP")
	}
	if a, b := g.OfSource(Source{Kind: "pex", From: "a"}), g.OfSource(Source{Kind: "pex", From: "b"}); a == b {
		t.Error("two sources")
	}
	if g.OfSource(Source{Kind: "dns"}) == g.OfSource(Source{Kind: "pex"}) {
		t.Error("two kinds of sources")
	}
	if !g.OfIP(netip.Addr{}).IsZero() || !g.Of(transport.Address{}).IsZero() {
		t.Error("groups of nothing")
	}
}

func TestASMap(t *testing.T) {
	g, err := ReadGroups(strings.NewReader("# a map\n9.0.0.0/8 AS1\n9.1.0.0/16 2 # within\n9.1.2.0/24 " +
		"as3\n\n2600::/16 1\n255.0.0.0/8 9\n9.2.0.0/16 4\n9.3.0.0/16 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"9.0.1.1:1": "AS1", "9.1.1.1:1": "AS2", "9.1.2.9:1": "AS3", "9.1.3.0:1": "AS2", "9.2.0.0:1": "AS4",
		"9.2.255.255:1": "AS4", "9.4.0.0:1": "AS1",
		"9.3.1.1:1": "9.3.0.0/16", "8.255.255.255:1": "8.255.0.0/16", "11.0.0.0:1": "11.0.0.0/16",
		"255.255.255.255:1": "AS9",
		"[2600::1]:1":       "AS1", "[2601::1]:1": "2601::/32", "[2002:901:203::1]:1": "AS3",
		"[fe80::1]:1": groupOf(t, nil, "[fe80::1]:1").String(),
	} {
		if got := groupOf(t, g, text).String(); got != want {
			t.Errorf("%s is in %s, want %s", text, got, want)
		}
	}
	for _, bad := range []string{"9.0.0.0/8", "9.0.0.0 1", "9.0.0.0/8 x", "9.0.0.0/8 1 2", "9.0.0.0/8 4294967296",
		strings.Repeat("9", 300)} {
		var e *ASMapError
		if _, err := ReadGroups(strings.NewReader("\n" + bad)); !errors.As(err, &e) || e.Line != 2 {
			t.Errorf("%.20s: %v", bad, err)
		}
	}
}

// FuzzReadGroups compares the flattened map with a search through its lines.
func FuzzReadGroups(f *testing.F) {
	f.Add("9.0.0.0/8 1\n9.1.0.0/16 2\n", uint32(9<<24))
	f.Add("0.0.0.0/0 1\n255.255.255.255/32 2\n9.0.0.0/8 0\n::/0 5", uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, text string, at uint32) {
		g, err := ReadGroups(strings.NewReader(text))
		if err != nil {
			return
		}
		ip := netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)})
		want, bits := uint32(0), -1
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			if p, _ := parseASLine(words); p.prefix.Contains(ip) && p.prefix.Bits() >= bits {
				want, bits = p.as, p.prefix.Bits()
			}
		}
		if got, ok := g.systems.find(ip); got != want || ok != (want != 0) {
			t.Fatalf("%s is in %d, want %d", ip, got, want)
		}
	})
}
