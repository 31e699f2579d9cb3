package peers

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	memstore "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// in is an address of a peer in a network group.
func (m *pm) in(group int, id transport.NodeID) transport.Address {
	return mustAddress(m.t, fmt.Sprintf("/ip4/%d.9.0.1/tcp/26656/mconn/%s", 11+group, id))
}

// answer brings the link of a dial up.
func (m *pm) answer(d Dial) uint64 {
	m.t.Helper()
	a := m.arrival(d.ID)
	a.Dialed = d.Addresses[0]
	a.IP, _ = a.Dialed.IP()
	err := m.Arrived(dialed(a))
	m.settle(d.ID, a.LinkID, err)
	return a.LinkID
}

// One outbound peer a network group while there is a choice; and when there is none, slots do not stay empty.
func TestSpreadsOutboundPeersOverNetworkGroups(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want int // peers of the big group among the first eight
	}{{Config{}, 1}, {Config{OutboundPerGroup: 3}, 3}} {
		m := newPM(t, tc.cfg)
		for i := range 200 {
			m.Add(m.in(0, highID(i)), peerstore.Source{Kind: "pex"})
		}
		for g := range 10 {
			m.Add(m.in(1+g, lowID(g)), peerstore.Source{Kind: "pex"})
		}
		big := 0
		for i := range 8 {
			d := m.mustDial("")
			if m.groups.Of(d.Addresses[0]) == m.groups.Of(m.in(0, lowID(0))) {
				big++
			}
			if i%2 == 0 { // dials count as links do
				m.answer(d)
			}
		}
		if big > tc.want {
			t.Errorf("%+v: %d of the big group, want at most %d", tc.cfg, big, tc.want)
		}
	}
	m := newPM(t, Config{})
	for i := range 20 {
		m.Add(m.in(0, highID(i)), peerstore.Source{Kind: "pex"})
	}
	for range 8 {
		m.answer(m.mustDial(""))
	}
}

// Anchors are the longest-lived outbound peers, of different network groups; a new link is none while there are older
// ones, and an end of ours forgets none.
func TestAnchors(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		book := memstore.NewSeeded(peerstore.Limits{}, 1)
		build := func(cfg Config) *pm {
			cfg.Seed = 1
			m, err := New(pmSelf, cfg, book)
			if err != nil {
				t.Fatal(err)
			}
			return &pm{Manager: m, t: t, store: book}
		}
		saved := func(want ...transport.NodeID) {
			t.Helper()
			if got := splitIDs(book.Meta(metaAnchors)); !slices.Equal(got, want) {
				t.Fatalf("anchors %v, want %v", got, want)
			}
		}
		m := build(Config{})
		links := map[transport.NodeID]uint64{}
		for i, group := range []int{0, 0, 1, 2} { // the second is of the first one's group
			m.Add(m.in(group, lowID(i)), peerstore.Source{Kind: "pex"})
			links[lowID(i)] = m.answer(m.mustDial(lowID(i)))
			time.Sleep(time.Minute)
		}
		saved(lowID(0), lowID(2))
		m.down(lowID(0), links[lowID(0)], muxer.CodeRemoteClosed)
		saved(lowID(1), lowID(2)) // the oldest that are left
		m.down(lowID(1), links[lowID(1)], muxer.CodeRemoteClosed)
		m.down(lowID(3), links[lowID(3)], muxer.CodeRemoteClosed)
		saved(lowID(2), lowID(3)) // too few are left: one that was one before stays
		m.down(lowID(2), links[lowID(2)], muxer.CodeShuttingDown)
		saved(lowID(2), lowID(3))
		for i := range 100 {
			m.Add(m.in(i+3, highID(i)), peerstore.Source{Kind: "pex"})
		}
		time.Sleep(time.Minute) // lowID(3) rests after the end of its link
		m = build(Config{})
		m.mustDial(lowID(2))
		m.mustDial(lowID(3))
		if m := build(Config{Anchors: -1}); len(m.dialer.anchors.pending) != 0 {
			t.Fatalf("without anchors it has %v", m.dialer.anchors.pending)
		}
	})
}

// While all slots are full a feeler is dialed now and then: it makes its peer a tried one, and no link of it.
func TestFeelers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 2, Feelers: time.Minute})
		m.learn(lowID(0), lowID(1))
		peer, first := m.dialUp("")
		m.dialUp("")
		for i := range 4 {
			m.learn(highID(i))
		}
		next := func() Dial {
			t.Helper()
			began := time.Now()
			d, err := m.DialNext(t.Context())
			if took := time.Since(began); err != nil || !d.Feeler || d.Upgrade || took < 30*time.Second ||
				took > 90*time.Second {
				t.Fatalf("dial %+v %v after %s", d, err, took)
			}
			return d
		}
		d := next()
		if c := m.Counts(); c != (Counts{Outbound: 2, Dialing: 1}) {
			t.Fatalf("counts %+v", c)
		}
		time.Sleep(2 * time.Minute)
		m.noDial() // one at a time
		before := m.store.Stats()
		_, err := m.dialed(d.ID)
		refused(t, err, muxer.CodeInquiryDone, "")
		rec, after := m.record(d.ID), m.store.Stats()
		if !rec.Tried() || rec.Busy || after.Tried != before.Tried+1 || after.New != before.New-1 || rec.Failures != 0 {
			t.Fatalf("record %+v, stats %+v after %+v", rec, after, before)
		}
		if m.peers[d.ID] != nil || len(m.links) != 2 {
			t.Fatal("something is left of it")
		}
		failed := m.mustDial("")
		m.fail(failed.ID, errUnreachable)
		if rec := m.record(failed.ID); rec.Failures != 1 || rec.Tried() {
			t.Fatalf("record %+v", rec)
		}
		guest := next()
		a := m.arrival(guest.ID)
		a.Dialed, a.Guest = guest.Addresses[0], true
		err = m.Arrived(dialed(a))
		refused(t, err, muxer.CodeInquiryDone, "")
		if rec := m.record(guest.ID); rec.Tried() || !rec.Quarantined.After(time.Now()) {
			t.Fatalf("record %+v", rec)
		}
		if tally := m.Tally(); tally.FeelersWorked != 1 || tally.FeelersFailed != 1 {
			t.Fatalf("tally %+v", tally)
		}
		m.down(peer, first, muxer.CodeRemoteClosed) // with a free slot, peers are dialed for good
		time.Sleep(time.Minute)
		if d := m.mustDial(""); d.Feeler {
			t.Fatalf("dial %+v", d)
		}
	})
	for _, cfg := range []Config{{Feelers: -1}, {Feelers: time.Minute, MaxOutbound: -1}} {
		inBubble(t, func(t *testing.T) {
			m := newPM(t, cfg)
			for i := range 8 {
				m.learn(lowID(i))
				if cfg.MaxOutbound == 0 {
					m.dialUp("")
				}
			}
			m.learn(highID(0))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if d, err := m.DialNext(ctx); err == nil {
				t.Fatalf("%+v: dial %+v", cfg, d)
			}
		})
	}
}

// Churn exchanges one outbound peer that nothing protects, and there is never one link fewer for it. Trusted peers
// stay.
func TestChurn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		trusted := lowID(99)
		m := newPM(t, Config{MaxOutbound: 8, Churn: time.Hour, Persistent: []transport.Address{addrOf(t, trusted, 0)}})
		m.dialUp(trusted)
		links := fullOutbound(t, m, 8)
		for i := range 100 {
			m.learn(highID(i))
		}
		began := time.Now()
		gone := map[transport.NodeID]bool{}
		for range 50 {
			before := time.Now()
			d, err := m.DialNext(t.Context())
			if err != nil || !d.Upgrade {
				t.Fatalf("dial %+v %v", d, err)
			}
			if took := time.Since(before); took > 90*time.Minute {
				t.Fatalf("after %s", took)
			}
			m.noEviction()
			links[d.ID] = m.answer(d)
			e, ok := m.TryEvictNext()
			if !ok || e.Reason.Code != muxer.CodeEvicted || e.Reason.Reason != whyChurn || e.ID == trusted ||
				links[e.ID] != e.LinkID {
				t.Fatalf("eviction %+v %v", e, ok)
			}
			if c := m.Counts(); c.Outbound != 8 || c.Upgrades != 1 {
				t.Fatalf("counts %+v", c)
			}
			m.noEviction()
			m.down(e.ID, e.LinkID, e.Reason.Code)
			delete(links, e.ID)
			gone[e.ID] = true
			if c := m.Counts(); c != (Counts{Outbound: 8, Trusted: 1}) {
				t.Fatalf("counts %+v", c)
			}
		}
		if took := time.Since(began); took < 40*time.Hour || took > 60*time.Hour {
			t.Errorf("50 times in %s", took)
		}
		// by the learning order they were dialed one by one
		for _, oldest := range []transport.NodeID{lowID(0), lowID(1)} {
			if gone[oldest] {
				t.Errorf("%s was among the oldest quarter and had to go", oldest)
			}
		}
		if m.Tally().Evicted["churn"] != 50 {
			t.Errorf("tally %+v", m.Tally())
		}
	})
}

// Nobody is exchanged below the budget, without a newcomer, or for one whose network group has its share in a peer that
// stays.
func TestChurnKeepsThePeace(t *testing.T) {
	quiet := func(t *testing.T, m *pm) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		if d, err := m.DialNext(ctx); err == nil {
			t.Fatalf("dial %+v", d)
		}
		m.noEviction()
	}
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 9, Churn: time.Hour})
		fullOutbound(t, m, 8)
		quiet(t, m)
	})
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 8, Churn: time.Hour})
		fullOutbound(t, m, 8)
		quiet(t, m) // nobody else is known
		m.Add(addrOf(t, highID(0), 0), peerstore.Source{Kind: "pex"})
		d, err := m.DialNext(t.Context())
		if err != nil || !d.Upgrade {
			t.Fatalf("dial %+v %v", d, err)
		}
	})
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 8, Churn: -1})
		fullOutbound(t, m, 8)
		m.learn(highID(0))
		quiet(t, m)
	})
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 8, Churn: time.Hour})
		for i := range 8 {
			m.Add(m.in(i, lowID(i)), peerstore.Source{Kind: "pex"})
			m.answer(m.mustDial(lowID(i)))
		}
		time.Sleep(upgradeAge)
		m.Add(m.in(0, highID(0)), peerstore.Source{Kind: "pex"}) // of the oldest peer's group, which is protected
		quiet(t, m)
	})
}
