package transport

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestPack(t *testing.T) {
	id := strings.Repeat("0f", 20)
	for _, s := range []string{"1.2.3.4:5", "255.255.255.255:65535", "0.0.0.0:1", "[2001:db8::1]:26656", "[::1]:80",
		"[2001:db8:1111:2222:3333:4444:5555:6666]:65535"} {
		a, err := ParseAddress(id + "@" + s)
		if err != nil {
			t.Fatal(err)
		}
		p := a.Packed()
		if p == nil {
			t.Fatal(a, "cannot be packed")
		}
		if got := p.Address(); got != a || got.ID() != a.ID() || got.String() != a.String() {
			t.Fatal(got, "of", a)
		}
		b, _ := ParseAddress("/dns/a.example/tcp/5/mconn/" + id)
		if b.SetPacked(&p.Node, &p.IP, p.Port); a != b {
			t.Fatal(b, "of", a)
		}
		if raw, ok := a.ID().Bytes(); !ok || NodeIDFromBytes(raw) != a.ID() {
			t.Fatal(raw)
		}
	}
	for _, s := range []string{"/ip4/1.2.3.4/tcp/5", "/ip4/1.2.3.4/tcp/5/tls/mconn/" + id,
		"/dns/a.example/tcp/5/mconn/" + id,
		"/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWLRPJAA5o6g3sJ7j5EJcyDg8KW8qJ1YVdZ3SbYQ2VgVvD", "/memory/7/mconn/" + id} {
		a, err := ParseAddress(s)
		if err != nil {
			continue // a form that cannot be packed
		}
		if a.Packed() != nil {
			t.Error(s, "was packed")
		}
	}
	if _, ok := NodeID(strings.ToUpper(id)).Bytes(); ok {
		t.Error("upper case")
	}
	if new(Address).Packed() != nil {
		t.Error("no address")
	}
}

// FuzzPack checks that a packed address comes back as it was.
func FuzzPack(f *testing.F) {
	id := strings.Repeat("0f", 20)
	for _, s := range []string{id + "@1.2.3.4:5", id + "@[2001:db8::1]:5", "/ip4/1.2.3.4/tcp/1/ws/mconn/" + id,
		"/ip6/::ffff:1.2.3.4/tcp/1/mconn/" + id} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if p := a.Packed(); p != nil {
			if got := p.Address(); got != a {
				t.Fatalf("%q became %q", a, got)
			}
		}
	})
}

func BenchmarkPack(b *testing.B) {
	a, _ := ParseAddress(strings.Repeat("0f", 20) + "@201.202.203.204:26656")
	p := a.Packed()
	b.Run("unpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Address()
		}
	})
	b.Run("text", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = a.String()
		}
	})
}

// FuzzNodeIDBytes checks that exactly the ids of 40 lower-case hex digits are read, and come back as they were.
func FuzzNodeIDBytes(f *testing.F) {
	for _, s := range []string{strings.Repeat("0f", 20), strings.Repeat("9a", 20), strings.Repeat("0F", 20),
		strings.Repeat("g0", 20), strings.Repeat("/:", 20), "`" + strings.Repeat("0", 39), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := hex.DecodeString(s)
		hexID := err == nil && len(want) == NodeIDSize && s == strings.ToLower(s)
		raw, ok := NodeID(s).Bytes()
		if ok != hexID || ok && (string(raw[:]) != string(want) || NodeIDFromBytes(raw) != NodeID(s)) {
			t.Fatalf("%q: %x %v, want %x %v", s, raw, ok, want, hexID)
		}
	})
}
