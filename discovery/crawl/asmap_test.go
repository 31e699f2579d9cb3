package crawl_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// TestASMap: the forms of a line, ranges within ranges, and IPs at their edges.
func TestASMap(t *testing.T) {
	m, err := crawl.ReadASMap(strings.NewReader("start,end,asn\n# a comment\n\n" +
		"80.0.0.0\t80.255.255.255\t1\tDE\tONE One, of Berlin\n" +
		"80.1.0.0/16,AS2,\"TWO, two\"\n" +
		"80.1.1.0/24 3\n" +
		"80.1.2.0\t80.1.2.255\t0\tNone\tNot routed\n" +
		"::ffff:81.0.0.0\t::ffff:81.0.0.9\t4\tx\x1b\t\u202eFOUR\n" +
		"2a01::/16,5\r\n" +
		"2a01:2::\t2a01:2:ffff:ffff:ffff:ffff:ffff:ffff\t6\t\t\n"))
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{
		"79.255.255.255": "", "80.0.0.0": "AS1 ONE One, of Berlin (DE)",
		"80.255.255.255": "AS1 ONE One, of Berlin (DE)",
		"81.0.0.0":       "AS4 ?FOUR", "81.0.0.9": "AS4 ?FOUR", "81.0.0.10": "", "80.1.0.0": "AS2 TWO, two",
		"80.1.1.0": "AS3", "80.1.1.255": "AS3", "80.1.2.0": "", "80.1.2.255": "", "80.1.3.0": "AS2 TWO, two",
		"80.2.0.0": "AS1 ONE One, of Berlin (DE)", "2a00::": "", "2a01::": "AS5", "2a01:2::1": "AS6", "2a01:3::": "AS5",
		"2a02::": "", "::ffff:80.1.1.1": "AS3", "0.0.0.0": "", "ffff::": "",
	} {
		got := ""
		if s, ok := m.Find(netip.MustParseAddr(ip)); ok {
			got = s.String()
		}
		if got != want {
			t.Errorf("%s is of %q, want %q", ip, got, want)
		}
	}
	for text, want := range map[string]string{
		"80.0.0.0/8,1\nnonsense": "line 2: want a first and a last IP", "80.0.0.1": "line 1: want a last IP",
		"80.0.0.0/8,x":            `line 1: "x" is not an AS number`,
		"\n80.0.0.0/8,4294967296": "line 2", "80.0.0.9\t80.0.0.1\t1": "is not a range",
		"80.0.0.1\t::1\t1": "is not a range",
		"80.0.0.1\tx\t1":   "is not a range", "fe80::1%a\tfe80::2%a\t1": "is not a range", "80.0.0.0/8": "line 1",
		"a,b\n80.0.0.0/33,1": "line 2", "a,b\n80.0.0.0/8,\"1": "line 2: not a row of CSV",
		"\n::ffff:1.2.3.0/120,1":                     "line 2",
		"1.2.3.0/24,1\n" + strings.Repeat("x", 1100): "line 2: longer than 1024 bytes",
	} {
		_, err := crawl.ReadASMap(strings.NewReader(text))
		var wrong *peerstore.ASMapError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestASMapRandom: what is found is what a look at all ranges finds, if they lie within each other or apart.
func TestASMapRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var text strings.Builder
		var all []netip.Prefix
		seen := map[netip.Prefix]bool{}
		for range 40 {
			p, _ := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(3)), byte(rnd.IntN(4) * 64), byte(rnd.IntN(256))}).
				Prefix(8 + rnd.IntN(25))
			if seen[p] {
				continue
			}
			seen[p] = true
			all = append(all, p)
			fmt.Fprintf(&text, "%s,%d\n", p, len(all))
		}
		m, err := crawl.ReadASMap(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			ip := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(3)), byte(rnd.IntN(4) * 64), byte(rnd.IntN(256))})
			want, bits := 0, -1
			for i, p := range all {
				if p.Contains(ip) && p.Bits() > bits {
					want, bits = i+1, p.Bits()
				}
			}
			if got, _ := m.Find(ip); int(got.Number) != want {
				t.Fatalf("%s is of %d, want %d in\n%s", ip, got.Number, want, text.String())
			}
		}
	}
}

// Systems are in every form of a map.
func TestSetSystems(t *testing.T) {
	as, err := crawl.ReadASMap(strings.NewReader("80.0.0.0/16,64496,\"=cmd <b>Example</b>\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := mapOf(t, reached(t, 0, "a", 1, 300), reached(t, 1, "b", 0), reached(t, 300, "c"))
	m.SetSystems(as)
	if got := fmt.Sprint(m.Summary.Systems); got != "[{AS64496 =cmd <b>Example</b> 2} { 1}]" {
		t.Errorf("systems %s", got)
	}
	for name, c := range map[string]struct {
		write func(*bytes.Buffer) error
		want  string
	}{
		"nodes":   {func(b *bytes.Buffer) error { return m.WriteNodes(b) }, `"as":{"number":64496,"name":"=cmd \u003c`},
		"csv":     {func(b *bytes.Buffer) error { return m.WriteCSV(b) }, ",64496,'=cmd <b>Example</b>\n"},
		"graphml": {func(b *bytes.Buffer) error { return m.WriteGraphML(b) }, "AS64496 =cmd &lt;b&gt;Example"},
		"summary": {func(b *bytes.Buffer) error { return m.WriteSummary(b) }, `"systems": [`},
		"html":    {func(b *bytes.Buffer) error { return m.WriteHTML(b) }, `"as":"AS64496 =cmd \u003cb\u003eExample`},
	} {
		var b bytes.Buffer
		if err := c.write(&b); err != nil || !strings.Contains(b.String(), c.want) {
			t.Errorf("%s: %v, without %q", name, err, c.want)
		}
	}
}
