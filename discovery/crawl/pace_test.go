package crawl

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// TestPace: an IP is dialed once in 30 seconds, a public /24 once a second; on loopback each port counts as an IP.
func TestPace(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	address := func(text string) transport.Address {
		a, err := transport.ParseAddress("1234567890123456789012345678901234567890@" + text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		name, dialed, then string
		wait, busy         time.Duration // after the first dial; while it goes on
	}{
		{"the same", "80.1.1.1:26656", "80.1.1.1:26656", perIP, perNetwork},
		{"another port of an IP", "80.1.1.1:26656", "80.1.1.1:1", perIP, perNetwork},
		{"another IP of a /24", "80.1.1.1:26656", "80.1.1.2:26656", perNetwork, perNetwork},
		{"another /24", "80.1.1.1:26656", "80.1.2.1:26656", 0, 0},
		{"a private IP", "10.1.1.1:26656", "10.1.1.1:1", perIP, perNetwork},
		{"another private IP", "10.1.1.1:26656", "10.1.1.2:26656", 0, 0},
		{"an IPv6 /64", "[2a01::1]:26656", "[2a01::2]:26656", perIP, perNetwork},
		{"a port of loopback", "127.0.0.1:1000", "127.0.0.1:1000", perIP, perNetwork},
		{"another port of loopback", "127.0.0.1:1000", "127.0.0.1:1001", 0, 0},
		{"another loopback address", "127.0.0.1:1000", "127.0.0.2:1000", 0, 0},
		{"another port of loopback, IPv6", "[::1]:1000", "[::1]:1001", 0, 0},
	} {
		p := newPace()
		left := func() time.Duration { return max(0, p.until(address(c.then), now).Sub(now)) }
		p.begin(address(c.dialed), now)
		if got := left(); got != c.busy {
			t.Errorf("%s, busy: wait %v, want %v", c.name, got, c.busy)
		}
		p.end(address(c.dialed))
		if got := left(); got != c.wait {
			t.Errorf("%s: wait %v, want %v", c.name, got, c.wait)
		}
	}
}
