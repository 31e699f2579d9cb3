package peers

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	memstore "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// banEnds returns when the automatic ban of a peer ends.
func (m *pm) banEnds(id transport.NodeID, ip netip.Addr) time.Duration {
	ban, ok := m.Banned(id, ip)
	if !ok {
		return 0
	}
	return time.Until(ban.Until)
}

// Misdeeds add up to a disconnection and then to a ban; they are forgotten with time, and no good deeds outweigh them.
func TestMisdeedsAddUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		id := lowID(1)
		l := m.up(id)
		misdeed := func() { m.Report(id, Behaviour{Severity: Penalise, Reason: "nonsense"}) }
		for range 4 {
			misdeed()
			m.Report(id, Behaviour{Points: 100})
		}
		m.noEviction()
		misdeed()
		m.mustEvict(id, l, muxer.CodeMisbehaved)
		m.down(id, l, muxer.CodeMisbehaved)
		l = m.up(id)
		misdeed() // 60: it is known for it
		m.mustEvict(id, l, muxer.CodeMisbehaved)
		m.down(id, l, muxer.CodeMisbehaved)
		if st, _ := m.Status(id); st.Misdeeds != 60 {
			t.Fatalf("status %+v", st)
		}
		time.Sleep(20 * scoreStep)
		if st, _ := m.Status(id); st.Misdeeds != 40 {
			t.Fatalf("status %+v", st)
		}
		l = m.up(id)
		time.Sleep(39 * scoreStep)
		for range 4 { // 41
			misdeed()
		}
		m.noEviction()
		for range 5 {
			misdeed()
		}
		if m.banEnds(id, netip.Addr{}) != 0 {
			t.Fatal("banned at 91")
		}
		misdeed()
		m.mustEvict(id, l, muxer.CodeMisbehaved) // the first reason counts
		if ban, ok := m.Banned(id, netip.Addr{}); !ok || time.Until(ban.Until) != firstBan || ban.Reason != "nonsense" {
			t.Fatalf("ban %+v %v", ban, ok)
		}
	})
}

// Each ban is twice as long as the one before, up to the longest; a month without one begins anew. It outlives a
// restart, but not an operator's pardon.
func TestBansGrow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		book := memstore.NewSeeded(peerstore.Limits{}, 1)
		id, last := lowID(1), uint64(0)
		begin := func() *pm {
			m, err := New(pmSelf, Config{Seed: 1}, book)
			if err != nil {
				t.Fatal(err)
			}
			last += 100
			return &pm{Manager: m, t: t, store: book, last: last}
		}
		m := begin()
		banned := func(want time.Duration) {
			t.Helper()
			l := m.up(id)
			m.Report(id, Behaviour{Severity: Ban})
			for range 20 { // what it sends until its link ends makes it no worse
				m.Report(id, Behaviour{Severity: Ban})
			}
			m.mustEvict(id, l, muxer.CodeBanned)
			m.down(id, l, muxer.CodeBanned)
			if got := m.banEnds(id, netip.Addr{}); got != want {
				t.Fatalf("banned for %s, want %s", got, want)
			}
			time.Sleep(want)
		}
		day := 24 * time.Hour
		for _, want := range []time.Duration{day, 2 * day, 4 * day} {
			banned(want)
		}
		m = begin() // a restart
		for _, want := range []time.Duration{8 * day, 16 * day, 30 * day, 30 * day} {
			banned(want)
		}
		time.Sleep(forgiveness + time.Second)
		banned(day)
		banned(2 * day)
		if _, err := m.Unban(peerstore.Target{ID: id}); err != nil {
			t.Fatal(err)
		}
		banned(day)
	})
}

// Peers that are banned one after the other cost their IP: keys are cheap. Not where a trusted peer is, and not
// loopback.
func TestBansAnIPOfManyBannedPeers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		friend := lowID(500)
		m := newPM(t, Config{Persistent: []transport.Address{mustAddress(t,
			"/ip4/7.7.7.9/tcp/1/mconn/"+string(friend))}})
		next := 0
		misbehave := func(ip string, n int) {
			for range n {
				a := m.arrival(lowID(next))
				next++
				a.IP = netip.MustParseAddr(ip)
				if err := m.Arrived(accepted(a)); err != nil {
					return
				}
				m.Report(a.ID, Behaviour{Severity: Ban, Reason: "x"})
				m.down(a.ID, a.LinkID, muxer.CodeBanned)
			}
		}
		banned := func(ip string) time.Duration { return m.banEnds("", netip.MustParseAddr(ip)) }
		misbehave("7.7.7.7", 2)
		if banned("7.7.7.7") != 0 {
			t.Fatal("banned for two")
		}
		misbehave("7.7.7.7", 1)
		if banned("7.7.7.7") != firstIPBan || banned("7.7.7.8") != 0 {
			t.Fatalf("banned for %s, its neighbour for %s", banned("7.7.7.7"), banned("7.7.7.8"))
		}
		if err := m.CheckAccept(netip.MustParseAddr("7.7.7.7")); err == nil {
			t.Fatal("let in")
		}
		time.Sleep(firstIPBan)
		misbehave("7.7.7.7", 3)
		if banned("7.7.7.7") != 2*firstIPBan {
			t.Fatalf("banned for %s", banned("7.7.7.7"))
		}
		misbehave("2001:db8:1:2::1", 2)
		misbehave("2001:db8:1:2:ffff::1", 1) // one customer's /64
		if banned("2001:db8:1:2:3::4") != firstIPBan || banned("2001:db8:1:3::1") != 0 {
			t.Fatalf("banned for %s", banned("2001:db8:1:2:3::4"))
		}
		misbehave("7.7.7.9", 20)
		misbehave("127.0.0.1", 20)
		if banned("7.7.7.9") != 0 || banned("127.0.0.1") != 0 {
			t.Fatal("banned")
		}
	})
}

// What is remembered is bounded, and the worst are remembered longest.
func TestOffencesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		now := time.Now()
		s := offences{}
		for i := range 10 {
			s.add(fmt.Sprintf("banned %d", i), 0, now).ban(firstBan, now)
		}
		for i := range 3 * maxOffences {
			s.add(string(lowID(i)), 1+i%50, now)
		}
		if len(s) != maxOffences {
			t.Fatalf("%d are kept", len(s))
		}
		for i := range 10 {
			if s[fmt.Sprintf("banned %d", i)] == nil {
				t.Fatal("a ban is forgotten for points")
			}
		}
		m := newPM(t, Config{})
		m.offences = offences{}
		for i := range maxOffences {
			m.offences.add(string(transport.NodeID(fmt.Sprintf("%054d", i))), 50, now).ban(firstBan, now)
		}
		m.offences.save(m.store, now)
		if got := readOffences(m.store.Meta(metaOffences), now); len(got) != maxOffences {
			t.Fatalf("%d are read again", len(got))
		}
		if got := readOffences([]byte("{nonsense"), now); len(got) != 0 {
			t.Fatal(got)
		}
	})
}

// What is read of the store is bounded, whatever is there, and is written again as it was read.
func FuzzReadOffences(f *testing.F) {
	f.Add([]byte(`{"1000000000000000000000000000000000000001":{"p":40,"s":1795000000,"b":2,"u":1795000000},` +
		`"7.7.7.7/32":{"p":34,"s":1795000000}}`))
	f.Add([]byte(`{"x":{"p":-1,"s":-9223372036854775808,"b":1000000,"u":9223372036854775807}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Unix(1795000100, 0)
		store, kept := memstore.NewSeeded(peerstore.Limits{}, 1), readOffences(b, now)
		if len(kept) > maxOffences {
			t.Fatalf("%d are kept", len(kept))
		}
		for key, o := range kept {
			if o.points < 0 || o.points > banAt || o.bans < 0 {
				t.Fatalf("%q: %+v", key, *o)
			}
			if end := kept.add(key, 10, now).ban(firstBan, now); end.Sub(now) > longestBan || end.Sub(now) < firstBan {
				t.Fatalf("%q is banned for %s", key, end.Sub(now))
			}
		}
		kept.save(store, now)
		if again := readOffences(store.Meta(metaOffences), now); len(b) < 10_000 && len(again) != len(kept) {
			t.Fatalf("%d of %d are read again", len(again), len(kept))
		}
	})
}
