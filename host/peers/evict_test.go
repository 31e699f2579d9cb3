package peers

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// fullOutbound fills n outbound slots and lets the links grow old enough to be victims.
func fullOutbound(t *testing.T, m *pm, n int) map[transport.NodeID]uint64 {
	t.Helper()
	links := map[transport.NodeID]uint64{}
	for i := range n {
		m.learn(lowID(i))
		id, l := m.dialUp("")
		links[id] = l
	}
	time.Sleep(upgradeAge)
	return links
}

func TestUpgrade(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 8, MaxUpgrades: 2})
		links := fullOutbound(t, m, 8)
		m.noDial()
		good, better, third := highID(1), highID(2), highID(3)
		m.learn(good, better, third)
		m.setScore(good, upgradeMargin-1)
		m.noDial() // not clearly better
		m.setScore(good, upgradeMargin)
		m.setScore(better, 90)
		m.setScore(third, 30)
		first := m.mustDial(better)
		second := m.mustDial(third)
		if !first.Upgrade || !second.Upgrade {
			t.Fatal("not marked as upgrades")
		}
		m.noDial()     // no more upgrade slots
		m.noEviction() // a probe evicts nobody
		m.fail(third, errUnreachable)
		l, err := m.dialed(better)
		if err != nil {
			t.Fatal(err)
		}
		m.noEviction() // not up yet
		if c := m.Counts(); c.Outbound != 8 || c.Upgrades != 1 {
			t.Fatalf("counts %+v", c)
		}
		m.settle(better, l, err)
		e, ok := m.TryEvictNext()
		if !ok || e.Reason.Code != muxer.CodeEvicted || links[e.ID] != e.LinkID {
			t.Fatalf("eviction %+v %v", e, ok)
		}
		m.noEviction()
		m.down(e.ID, e.LinkID, muxer.CodeEvicted)
		if c := m.Counts(); c.Outbound != 8 || c.Upgrades != 0 {
			t.Fatalf("counts %+v", c)
		}
		time.Sleep(evictedBackoff - 1)
		if st, _ := m.Status(e.ID); !st.NotBefore.After(time.Now()) {
			t.Fatalf("the victim may come back at once: %+v", st)
		}
	})
}

// DialNext waits for the moment when a peer is old enough to be a victim.
func TestUpgradeWaitsForAVictim(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 6})
		for i := range 6 {
			m.learn(lowID(i))
			m.dialUp("")
		}
		m.learn(highID(1))
		m.setScore(highID(1), 40)
		began := time.Now()
		d, err := m.DialNext(t.Context())
		if err != nil || d.ID != highID(1) || !d.Upgrade || time.Since(began) != upgradeAge {
			t.Fatalf("dial %+v %v after %s", d, err, time.Since(began))
		}
	})
}

// Whoever dials us earns no outbound slot by that, however useful it is; on a link that we dialed it does.
func TestCreditOfThoseThatDialUs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 8})
		for i := range 8 {
			m.learn(lowID(i))
			m.dialUp("")
		}
		time.Sleep(upgradeAge)
		caller := highID(1)
		link := m.up(caller)
		for range 100 {
			m.Report(caller, Behaviour{Points: 5})
		}
		if st, _ := m.Status(caller); st.Useful != 500 || st.Score != upgradeMargin-1 {
			t.Fatalf("status %+v", st)
		}
		m.down(caller, link, muxer.CodeRemoteClosed)
		m.learn(caller)
		time.Sleep(10 * time.Second)
		m.noDial()
		m.Report(caller, Behaviour{Points: -30}) // and what is bad counts in full
		m.up(caller)
		m.Report(caller, Behaviour{Points: -5})
		if st, _ := m.Status(caller); st.Score != upgradeMargin-1-35 {
			t.Fatalf("status %+v", st)
		}
		m.setScore(caller, 50)
		m.Report(caller, Behaviour{Points: 5}) // what it has earned where we dialed it stays
		if st, _ := m.Status(caller); st.Score != 50 {
			t.Fatalf("status %+v", st)
		}
	})
	m := newPM(t, Config{})
	m.learn(lowID(1))
	m.dialUp("")
	m.Report(lowID(1), Behaviour{Points: 50})
	if st, _ := m.Status(lowID(1)); st.Score != 50 {
		t.Fatalf("status %+v", st)
	}
}

// The victim of an upgrade is chosen when the better peer is up: the worst of that moment. If there is none any more,
// the upgrade ends before anybody hears of it.
func TestUpgradeChoosesItsVictimWhenItIsUp(t *testing.T) {
	for _, gone := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			m := newPM(t, Config{MaxOutbound: 8})
			fullOutbound(t, m, 8)
			m.learn(highID(1))
			m.setScore(highID(1), 40)
			d := m.mustDial(highID(1))
			for i := range 8 {
				if gone { // all have become useful meanwhile
					m.Report(lowID(i), Behaviour{Points: 1})
				}
			}
			m.setScore(lowID(5), -1+map[bool]int{true: 50}[gone])
			l, err := m.dialed(d.ID)
			if err != nil {
				t.Fatal(err)
			}
			m.Established(d.ID, l)
			if up := m.Ready(d.ID, l, l, []byte{0}); up == gone {
				t.Fatalf("up: %v", up)
			}
			if gone {
				m.mustEvict(d.ID, l, muxer.CodeTooManyPeers)
			} else if e, ok := m.TryEvictNext(); !ok || e.ID != lowID(5) || e.Reason.Reason != whyUpgrade {
				t.Fatalf("eviction %+v", e)
			}
			m.noEviction()
		})
	}
}

// Upgrades come to rest: with many peers of all scores, after a while none is begun any more.
func TestUpgradesComeToRest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 8})
		links := fullOutbound(t, m, 8)
		for i := range 50 {
			m.learn(highID(i))
			m.setScore(highID(i), 2*i)
		}
		upgrades, last := 0, time.Duration(0)
		start := time.Now()
		for time.Since(start) < 24*time.Hour {
			for {
				d, ok := m.TryDialNext()
				if !ok {
					break
				}
				upgrades++
				last = time.Since(start)
				l, err := m.dialed(d.ID)
				m.settle(d.ID, l, err)
				links[d.ID] = l
			}
			for {
				e, ok := m.TryEvictNext()
				if !ok {
					break
				}
				m.down(e.ID, e.LinkID, e.Reason.Code)
			}
			time.Sleep(time.Minute)
		}
		t.Logf("%d upgrades, the last after %s", upgrades, last)
		if upgrades == 0 || upgrades > 40 || last > 6*time.Hour {
			t.Fatalf("%d upgrades, the last after %s", upgrades, last)
		}
	})
}

func TestEvictionsBeyondCapacity(t *testing.T) {
	m := newPM(t, Config{MaxInbound: 40, Unconditional: []transport.NodeID{lowID(0)}, ConnectionsPerGroup: 100})
	protected := map[transport.NodeID]string{}
	for i := range 40 {
		id := lowID(i)
		a := m.arrival(id)
		a.IP = netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i)) // one group
		switch i {
		case 20, 21, 22, 23, 24:
			a.IP = netip.MustParseAddr(fmt.Sprintf("%d.1.1.1", i))
			protected[id] = "network group"
		}
		if err := m.Arrived(accepted(a)); err != nil {
			t.Fatal(err)
		}
		m.settleLink(id, a.LinkID)
		switch {
		case i == 0:
			protected[id] = "unconditional"
		case i <= 4: // 39 candidates: 4 on each ground
			protected[id] = "age"
		case i <= 8:
			m.Report(id, Behaviour{Points: i})
			protected[id] = "useful"
		case i <= 12:
			m.SetLatency(id, time.Duration(i)*time.Millisecond)
			protected[id] = "latency"
		}
	}
	for i := 13; i < 20; i++ { // worse on each ground
		m.Report(lowID(i), Behaviour{Points: 1})
		m.SetLatency(lowID(i), time.Second)
	}
	m.noEviction()
	m.cfg.MaxInbound = 30
	groups := 0
	for range 9 { // 39 links in inbound slots, one of them unconditional apart
		e, ok := m.TryEvictNext()
		if !ok || e.Reason.Code != muxer.CodeEvicted || e.Reason.Limit != "peers.max_inbound" {
			t.Fatalf("eviction %+v %v", e, ok)
		}
		if why := protected[e.ID]; why == "network group" {
			groups++ // five such groups and the big one, of which four are protected, nobody knows which
		} else if why != "" {
			t.Fatalf("%s was evicted in spite of its %s", e.ID, why)
		}
		m.down(e.ID, e.LinkID, muxer.CodeEvicted)
	}
	if groups > 2+1 {
		t.Fatalf("%d of the network groups were evicted", groups)
	}
	m.noEviction()
}

func (m *pm) settleLink(id transport.NodeID, l uint64) {
	m.t.Helper()
	m.establish(id, l)
	if !m.Ready(id, l, l, nil) {
		m.t.Fatalf("link %d is not current", l)
	}
}

// Among equals chance decides.
func TestEvictionIsRandomAmongTheRest(t *testing.T) {
	seen := map[transport.NodeID]int{}
	for seed := range uint64(100) {
		m := newPM(t, Config{Seed: seed + 1})
		for i := range 10 {
			m.up(lowID(i))
		}
		m.cfg.MaxInbound = 9
		e, ok := m.TryEvictNext()
		if !ok {
			t.Fatal("no eviction")
		}
		seen[e.ID]++
	}
	if len(seen) < 6 || seen[lowID(0)] > 0 {
		t.Fatalf("evicted %v", seen)
	}
}

func TestExplicitEvictionsGoFirst(t *testing.T) {
	m := newPM(t, Config{})
	var links []uint64
	for i := range 6 {
		links = append(links, m.up(lowID(i)))
	}
	m.cfg.MaxInbound = 5
	m.Disconnect(lowID(3), &DisconnectError{Code: muxer.CodeProtocolError, Reason: "bad message"})
	m.Disconnect(lowID(3), &DisconnectError{Code: muxer.CodeUnknown, Reason: "again"})
	m.Disconnect(lowID(1), &DisconnectError{Code: muxer.CodeOverflow})
	m.Report(lowID(2), Behaviour{Severity: Disconnect, Reason: "nonsense"})
	m.Report(lowID(4), Behaviour{Severity: Ban, Reason: "worse"})
	m.mustEvict(lowID(3), links[3], muxer.CodeProtocolError)
	m.mustEvict(lowID(1), links[1], muxer.CodeOverflow)
	m.mustEvict(lowID(2), links[2], muxer.CodeMisbehaved)
	m.mustEvict(lowID(4), links[4], muxer.CodeBanned)
	m.noEviction() // four are on their way out
	if b, ok := m.Banned(lowID(4), netip.Addr{}); !ok || b.Reason != "worse" {
		t.Fatalf("ban %+v %v", b, ok)
	}
	if m.Ready(lowID(3), links[3], links[3], nil) {
		t.Fatal("a link on its way out counts as up")
	}
}

func TestTrustedPeersAreNotBannedByReports(t *testing.T) {
	id := lowID(1)
	m := newPM(t, Config{Persistent: []transport.Address{addrOf(t, id, 0)}})
	l := m.up(id)
	m.Report(id, Behaviour{Severity: Ban})
	m.mustEvict(id, l, muxer.CodeMisbehaved)
	if _, banned := m.Banned(id, netip.Addr{}); banned {
		t.Fatal("banned")
	}
	m.down(id, l, muxer.CodeMisbehaved)
	if st, _ := m.Status(id); !st.Trusted || st.Score >= 0 {
		t.Fatalf("status %+v", st)
	}
}

func TestEvictNextWakes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		l := m.up(lowID(1))
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan Eviction)
		go func() {
			defer close(got)
			for {
				e, err := m.EvictNext(ctx)
				if err != nil {
					return
				}
				got <- e
			}
		}()
		synctest.Wait()
		m.Manager.Disconnect(lowID(1), nil)
		if e := <-got; e.LinkID != l || e.Reason.Code != muxer.CodeRequested {
			t.Fatalf("eviction %+v", e)
		}
		cancel()
		if _, ok := <-got; ok {
			t.Fatal("another eviction")
		}
	})
}

func TestScore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		id := lowID(1)
		m := newPM(t, Config{Unconditional: []transport.NodeID{id}}) // never banned
		m.learn(id)
		m.dialUp("")
		score := func() int { return m.Scores()[id] }
		report := func(points int, s Severity) { m.Report(id, Behaviour{Points: points, Severity: s}) }
		const maxInt = int(^uint(0) >> 1)
		for _, step := range []struct {
			points int
			s      Severity
			want   int
		}{
			{5, Log, 5}, {-2, Log, 3}, {4, Penalise, -1}, {0, Penalise, -11}, {maxInt, Log, 100}, {1, Log, 100},
			{maxInt, Log, 100},
			{-maxInt - 1, Log, -100}, {-1, Log, -100}, {-maxInt - 1, Penalise, -100}, {50, Log, -50},
			{maxInt, Penalise, -100}, {200, Log, 100},
		} {
			if report(step.points, step.s); score() != step.want {
				t.Fatalf("after %+v the score is %d", step, score())
			}
		}
		for i := range 100 {
			time.Sleep(scoreStep / 2)
			if score() != 100-i {
				t.Fatalf("score %d after %d steps", score(), i)
			}
			time.Sleep(scoreStep / 2)
			if score() != 99-i {
				t.Fatalf("score %d after %d steps", score(), i+1)
			}
			report(0, Log) // reading and writing do not change the decay
		}
		time.Sleep(time.Hour)
		if score() != 0 {
			t.Fatalf("score %d", score())
		}
		m.up(lowID(2))
		m.Report(lowID(2), Behaviour{Points: 3})
		if st, ok := m.Status(lowID(2)); !ok || st.Useful != 3 || st.Score != 3 {
			t.Fatalf("status %+v", st)
		}
	})
}

// No score ends a link on its own.
func TestScoreEvictsNobody(t *testing.T) {
	m := newPM(t, Config{})
	m.up(lowID(1))
	for range 100 {
		m.Report(lowID(1), Behaviour{Points: -100})
	}
	m.noEviction()
}

func TestHeights(t *testing.T) {
	m := newPM(t, Config{})
	m.up(lowID(1))
	m.SetHeight(lowID(1), 7)
	m.SetHeight(pmSelf, 9)
	if m.Height(lowID(1)) != 7 || m.Height(pmSelf) != 9 || m.Height(lowID(2)) != 0 {
		t.Fatal(m.Height(lowID(1)), m.Height(pmSelf), m.Height(lowID(2)))
	}
}

func TestAdvertise(t *testing.T) {
	m := newPM(t, Config{Private: []transport.NodeID{lowID(1)}})
	m.learn(lowID(1), lowID(2), lowID(3), lowID(4))
	got := m.Advertise(lowID(2), 10)
	if len(got) != 2 || got[0].ID() == lowID(1) || got[1].ID() == lowID(1) {
		t.Fatalf("advertised %v", got)
	}
	if got := m.Advertise("", 1); len(got) != 1 {
		t.Fatalf("advertised %v", got)
	}
	if got := m.Addresses(lowID(1)); len(got) != 1 || got[0] != addrOf(t, lowID(1), 0) {
		t.Fatalf("addresses %v", got)
	}
}

func TestNeedsPeers(t *testing.T) {
	m := newPM(t, Config{MaxOutbound: 2})
	for i := range 8 {
		if !m.NeedsPeers() {
			t.Fatalf("needs none at %d", i)
		}
		m.learn(lowID(i))
	}
	m.dialUp("")
	if !m.NeedsPeers() {
		t.Fatal("a slot is empty")
	}
	m.dialUp("")
	if m.NeedsPeers() {
		t.Fatal("full, and enough are known")
	}
	if none := newPM(t, Config{MaxOutbound: -1}); none.NeedsPeers() {
		t.Fatal("it never dials")
	}
}
