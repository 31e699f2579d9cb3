package peers

import (
	"fmt"
	"math/rand/v2"
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

// Peers that are banned one after the other make their IP suspect, as keys are cheap: few new peers are taken from
// there at once. It is never banned, and peers that we know get in, as do all from networks that the operator says many
// share.
func TestSuspectIPs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		friend, known := lowID(500), lowID(501)
		m := newPM(t, Config{SharedNetworks: []netip.Prefix{ipPrefix("9.9.0.0/16")}, Persistent: []transport.Address{
			mustAddress(t, "/ip4/7.7.7.7/tcp/1/mconn/"+string(friend))}})
		next := 0
		accept := func(id transport.NodeID, ip string) (uint64, error) {
			if id == "" {
				id = lowID(next)
				next++
			}
			a := m.arrival(id)
			a.IP = netip.MustParseAddr(ip)
			err := m.Arrived(accepted(a))
			if err == nil {
				m.settle(id, a.LinkID, nil)
			}
			return a.LinkID, err
		}
		misbehave := func(ip string, n int) {
			for range n {
				id := lowID(next)
				l, err := accept("", ip)
				if err != nil {
					t.Fatal(err)
				}
				m.Report(id, Behaviour{Severity: Ban, Reason: "x"})
				m.down(id, l, muxer.CodeBanned)
				if err := m.CheckAccept(netip.MustParseAddr(ip)); err != nil {
					t.Fatal(err)
				}
			}
		}
		newOnes := func(ip, limit string) (n int) {
			var links []uint64
			first := next
			for ; ; n++ {
				l, err := accept("", ip)
				if err != nil {
					refused(t, err, muxer.CodeTooManyPeers, limit)
					break
				}
				links = append(links, l)
			}
			for i, l := range links {
				m.down(lowID(first+i), l, muxer.CodeRemoteClosed)
			}
			return n
		}
		check := func(ip string, want int) {
			t.Helper()
			limit := "limits.connections_per_ip"
			if want == newcomers {
				limit = "peers.shared_networks"
			}
			if n := newOnes(ip, limit); n != want {
				t.Fatalf("%d new peers from %s at once, want %d", n, ip, want)
			}
		}
		l, _ := accept(known, "7.7.7.7")
		time.Sleep(time.Minute)
		m.Report(known, Behaviour{Points: 1}) // it is remembered
		m.down(known, l, muxer.CodeRemoteClosed)
		misbehave("7.7.7.7", 1)
		check("7.7.7.7", m.cfg.ConnectionsPerIP)
		misbehave("7.7.7.7", 30)
		check("7.7.7.7", newcomers)
		check("7.7.7.8", m.cfg.ConnectionsPerIP) // its neighbour
		for i := range newcomers + 1 {           // a new one that has been there for a while is new no more
			if _, err := accept(highID(i), "7.7.7.7"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(newFor / newcomers)
		}
		_, _ = accept("", "7.7.7.7")
		for _, id := range []transport.NodeID{known, friend} {
			l, err := accept(id, "7.7.7.7")
			if err != nil {
				t.Fatal(err)
			}
			if id == friend {
				m.down(id, l, muxer.CodeRemoteClosed)
			}
		}
		misbehave("2001:db8:1:2::1", 2)
		misbehave("2001:db8:1:2:ffff::1", 2)
		check("2001:db8:1:2:3::4", newcomers) // one customer's /64
		check("2001:db8:1:3::1", m.cfg.ConnectionsPerIP)
		misbehave("9.9.1.1", 20)
		check("9.9.1.1", m.cfg.ConnectionsPerIP)
		misbehave("127.0.0.1", 20)
		time.Sleep(3 * time.Hour)
		check("7.7.7.7", 3) // forgiven; five are there
	})
}

// However many throwaway keys misbehave, and however badly, from dozens of networks: what others have done before
// stays, and what is remembered is bounded.
func TestThrowawayKeysWashNothingAway(t *testing.T) {
	for seed := range uint64(10) {
		inBubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			now := time.Now()
			s := offences{}
			groups := 1 + rng.IntN(50)
			group := func() netip.Prefix {
				return netip.PrefixFrom(netip.AddrFrom4([4]byte{9, byte(rng.IntN(groups)), 0, 0}), 16)
			}
			olds := 1 + rng.IntN(5)
			for i := range olds {
				o := s.add(fmt.Sprintf("old %d", i), group(), 1+rng.IntN(banAt), now)
				if i%3 == 0 {
					o.ban(firstBan, now)
				}
			}
			time.Sleep(time.Millisecond)
			for i := range 599 + rng.IntN(1000) {
				now := time.Now()
				o := s.add(string(lowID(i)), group(), 1+rng.IntN(banAt), now)
				if rng.IntN(2) == 0 {
					o.ban(firstBan, now)
				}
				if len(s) > maxOffences || s[string(lowID(i))] != o {
					t.Fatalf("seed %d: %d are kept", seed, len(s))
				}
				time.Sleep(time.Millisecond)
			}
			for i := range olds {
				if s[fmt.Sprintf("old %d", i)] == nil {
					t.Fatalf("seed %d: %d is forgotten", seed, i)
				}
			}
		})
	}
}

// What is remembered is written whole.
func TestOffencesAreKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		now := time.Now()
		m := newPM(t, Config{})
		m.offences = offences{}
		for i := range maxOffences {
			key, group := fmt.Sprintf("%059d", i), ipPrefix(fmt.Sprintf("2001:d%02x%d::/32", i%256, i%10))
			m.offences.add(key, group, 50, now).ban(firstBan, now)
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
			if end := kept.add(key, netip.Prefix{}, 10, now).ban(firstBan, now); end.Sub(now) > longestBan ||
				end.Sub(now) < firstBan {
				t.Fatalf("%q is banned for %s", key, end.Sub(now))
			}
		}
		kept.save(store, now)
		if again := readOffences(store.Meta(metaOffences), now); len(b) < 10_000 && len(again) != len(kept) {
			t.Fatalf("%d of %d are read again", len(again), len(kept))
		}
	})
}
