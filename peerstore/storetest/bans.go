package storetest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func target(t *testing.T, text string) peerstore.Target {
	t.Helper()
	got, err := peerstore.ParseTarget(text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func testBans(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	hour := now.Add(time.Hour)
	for text, until := range map[string]time.Time{
		string(ID(1)):         {},
		"192.0.2.7":           hour,
		"198.51.0.0/16":       hour,
		"198.51.100.0/24":     {},
		"2001:db8::/32":       hour,
		"::ffff:203.0.113.9":  hour,
		"::ffff:10.0.0.0/104": hour,
	} {
		if err := s.Ban(peerstore.Ban{Target: target(t, text), Since: now, Until: until, Reason: text}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Bans(now)); n != 7 || s.Stats().Banned != 7 {
		t.Fatal(n, s.Stats())
	}
	for _, c := range []struct {
		id   transport.NodeID
		ip   string
		want string // after now, and after an hour
		then string
	}{
		{ID(1), "", string(ID(1)), string(ID(1))},
		{ID(1), "192.0.2.7", string(ID(1)), string(ID(1))}, // the one that ends last
		{ID(2), "", "", ""},
		{"", "", "", ""},
		{"", "192.0.2.7", "192.0.2.7", ""},
		{ID(2), "::ffff:192.0.2.7", "192.0.2.7", ""},
		{"", "192.0.2.8", "", ""},
		{"", "198.51.100.1", "198.51.100.0/24", "198.51.100.0/24"},
		{"", "198.51.99.1", "198.51.0.0/16", ""},
		{"", "198.52.0.0", "", ""},
		{"", "2001:db8:ffff::1", "2001:db8::/32", ""},
		{"", "2001:db8::1%eth0", "2001:db8::/32", ""},
		{"", "2001:db9::1", "", ""},
		{"", "203.0.113.9", "::ffff:203.0.113.9", ""},
		{"", "10.9.9.9", "::ffff:10.0.0.0/104", ""},
	} {
		var ip netip.Addr
		if c.ip != "" {
			ip = netip.MustParseAddr(c.ip)
		}
		for at, want := range map[time.Time]string{now: c.want, hour.Add(-1): c.want, hour: c.then} {
			b, ok := s.Banned(c.id, ip, at)
			if ok != (want != "") || b.Reason != want {
				t.Errorf("%s %s at %v: banned %v by %q, want %q", c.id.Short(), c.ip, at.Sub(now), ok, b.Reason, want)
			}
		}
	}
	if n := len(s.Bans(hour)); n != 2 {
		t.Fatal(n)
	}

	// A second ban of a target replaces the first.
	if err := s.Ban(peerstore.Ban{Target: target(t, "192.0.2.7/32"), Until: now.Add(time.Minute),
		Reason: strings.Repeat("é", 1000)}); err != nil {
		t.Fatal(err)
	}
	b, ok := s.Banned("", netip.MustParseAddr("192.0.2.7"), now)
	if !ok || !b.Until.Equal(now.Add(time.Minute)) || len(b.Reason) > 256 {
		t.Fatal(b, ok)
	}
	if was, err := s.Unban(target(t, "192.0.2.7")); !was || err != nil {
		t.Fatal(was, err)
	}
	if was, err := s.Unban(target(t, "192.0.2.7")); was || err != nil {
		t.Fatal(was, err)
	}
	if was, err := s.Unban(target(t, strings.ToUpper(string(ID(1))))); !was || err != nil {
		t.Fatal(was, err)
	}
	if _, ok := s.Banned(ID(1), netip.Addr{}, now); ok {
		t.Fatal("banned after Unban")
	}

	var te *peerstore.TargetError
	for _, bad := range []peerstore.Target{
		{},
		{ID: ID(1), Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		{ID: transport.NodeID(strings.Repeat("x", 1000))},
		{Prefix: netip.PrefixFrom(netip.MustParseAddr("::ffff:1.2.3.4"), 90)},
		{Prefix: netip.PrefixFrom(netip.MustParseAddr("1.2.3.4"), 64)},
	} {
		if err := s.Ban(peerstore.Ban{Target: bad}); !errors.As(err, &te) {
			t.Errorf("%+v: %v", bad, err)
		}
		if _, err := s.Unban(bad); !errors.As(err, &te) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func testBanLimits(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{MaxBans: 3}), start()
	ban := func(n int, until time.Time) error {
		return s.Ban(peerstore.Ban{Target: peerstore.Target{ID: ID(n)}, Until: until})
	}
	for n := range 4 { // number 0 ends first, and makes room
		if err := ban(n, now.Add(time.Duration(n+1)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.Banned(ID(0), netip.Addr{}, now); ok || s.Stats().Banned != 3 {
		t.Fatal("not the one that ends first")
	}
	for n := 10; n < 13; n++ {
		if err := ban(n, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ban(13, time.Time{}); !errors.Is(err, peerstore.ErrTooManyBans) {
		t.Fatal(err)
	}
	if err := ban(12, now.Add(time.Hour)); err != nil {
		t.Fatal("a ban that is there already:", err)
	}
	// What has ended is cleared away in time.
	if s.Next(now.Add(2*time.Hour), peerstore.Query{}); s.Stats().Banned != 2 {
		t.Fatal(s.Stats())
	}
}

// testBannedPeers checks that banned peers are neither learned, dialed nor advertised, and are again after the ban.
func testBannedPeers(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	hour := now.Add(time.Hour)
	for n := range 6 {
		s.Add(Address(n<<6, 1), pex, now) // a /24 each
	}
	for _, b := range []peerstore.Ban{
		{Target: peerstore.Target{ID: ID(0)}},
		{Target: peerstore.Target{ID: ID(1 << 6)}, Until: hour},
		{Target: target(t, "11.2.0.0/24")},
		{Target: target(t, "11.3.0.0/24"), Until: hour},
	} {
		if err := s.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	reachable := func(at time.Time) (n int) {
		told := len(s.Advertise(100, at, nil))
		for {
			r, ok := s.Next(at, peerstore.Query{})
			if !ok {
				break
			}
			n++
			s.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
			defer s.Update(r.ID, func(r *peerstore.Record) { r.Busy = false })
		}
		if told != n {
			t.Fatalf("%d are dialed, but %d are told of", n, told)
		}
		return n
	}
	if n := reachable(now); n != 2 {
		t.Fatal("reachable:", n)
	}
	for _, a := range []transport.Address{Address(0, 2), Address(2<<6+1<<22, 1), Address(3<<6+1<<22, 1)} {
		if s.Add(a, pex, now) {
			t.Fatal("learned", a)
		}
		if !s.Add(a, peerstore.Source{Kind: peerstore.SourceConfig}, now) {
			t.Fatal("a configured address was refused:", a)
		}
	}
	for _, n := range []int{2<<6 + 1<<22, 3<<6 + 1<<22} {
		s.Remove(ID(n))
	}
	if due, ok := s.NextDue(now); !ok || !due.Equal(hour) {
		t.Fatal(due, ok)
	}
	if n := reachable(hour); n != 4 {
		t.Fatal("after an hour, reachable:", n)
	}
	for _, tg := range []peerstore.Target{{ID: ID(0)}, target(t, "11.2.0.0/24")} {
		if was, err := s.Unban(tg); !was || err != nil {
			t.Fatal(was, err)
		}
	}
	if n := reachable(hour); n != 6 {
		t.Fatal("after Unban, reachable:", n)
	}
}
