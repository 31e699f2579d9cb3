package peerstore

import (
	"errors"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	hex := strings.Repeat("ab", 20)
	for text, want := range map[string]string{
		hex:                        hex,
		" " + strings.ToUpper(hex): hex,
		// The ed25519 peer id of 32 zero bytes, and the node id of that key (SHA-256, 20 bytes).
		"12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw": "66687aadf862bd776c8fc18b8e9f8e2008971485",
		"192.0.2.7":        "192.0.2.7",
		"192.0.2.7/32":     "192.0.2.7",
		"192.0.2.7/24":     "192.0.2.0/24",
		"::ffff:192.0.2.7": "192.0.2.7",
		"2001:DB8::1":      "2001:db8::1",
		"2001:db8::1/32":   "2001:db8::/32",
		"0.0.0.0/0":        "0.0.0.0/0",
	} {
		got, err := ParseTarget(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
			continue
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("%q: %v %v", got, again, err)
		}
	}
	for _, text := range []string{"", " ", "x", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "/24", "fe80::1%eth0",
		"fe80::1%eth0/64", "::ffff:1.2.3.4/80", "example.com", hex + "00"} {
		var te *TargetError
		if got, err := ParseTarget(text); !errors.As(err, &te) || te.Text != text && te.Text == "" {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, text := range []string{strings.Repeat("ab", 20), "192.0.2.7/24", "2001:db8::1", "::ffff:1.2.3.4/120",
		"12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw", "%", "1.2.3.4%x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTarget(text)
		if err != nil {
			return
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Fatalf("%q gives %+v, which gives %+v %v", text, got, again, err)
		}
	})
}
