package peers

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// cutOff is a manager whose four outbound links of lows(4) and one inbound link have broken at once, and whose slots
// are full again, with links to highID(0..3).
func cutOff(t *testing.T) *pm {
	m := newPM(t, Config{MaxOutbound: 4})
	m.learn(lows(4)...)
	links := map[transport.NodeID]uint64{}
	for range 4 {
		id, l := m.dialUp("")
		links[id] = l
	}
	in := highID(9)
	if err := m.Add(addrOf(t, in, 0), sourcePEX); err != nil {
		t.Fatal(err)
	}
	links[in] = m.up(in)
	time.Sleep(time.Minute)
	for i := range 4 {
		m.learn(highID(i))
	}
	for id, l := range links {
		m.down(id, l, muxer.CodeIdle)
		time.Sleep(time.Second)
	}
	for c := m.Counts(); c.Outbound < 4; c = m.Counts() {
		time.Sleep(time.Second)
		for _, d := range m.dials() {
			if d.ID[0] == '1' || d.ID == in {
				m.fail(d.ID, errUnreachable)
				continue
			}
			l, err := m.dialed(d.ID)
			m.settle(d.ID, l, err)
			time.Sleep(time.Second)
		}
	}
	return m
}

// Peers that are lost in a cut are dialed for a day, one at a time, beyond full slots; that they do not answer is not
// held against them.
func TestLostPeersAreLookedFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := cutOff(t)
		before := map[transport.NodeID]uint32{}
		for _, id := range lows(4) {
			before[id] = m.record(id).Addresses[0].Failures
		}
		dialed := map[transport.NodeID]int{}
		began := time.Now()
		for time.Since(began) < time.Hour {
			d, err := m.DialNext(t.Context())
			if err != nil || !d.Upgrade || before[d.ID] == 0 && d.ID[0] != '1' {
				t.Fatalf("dial %+v %v", d, err)
			}
			m.noDial()
			dialed[d.ID]++
			time.Sleep(5 * time.Second)
			m.fail(d.ID, errUnreachable)
		}
		for id, n := range before {
			if dialed[id] < 10 || dialed[id] > 30 {
				t.Errorf("%s was dialed %d times in an hour", id, dialed[id])
			}
			if got := m.record(id).Addresses[0].Failures; got != n {
				t.Errorf("%s has %d failures, %d before", id, got, n)
			}
		}
		for time.Since(began) < lostFor+time.Hour {
			d, ok := m.TryDialNext()
			if ok {
				m.fail(d.ID, errUnreachable)
			}
			time.Sleep(time.Minute)
		}
		if n := len(m.dialer.lost.peers); n != 0 {
			t.Errorf("%d are still looked for", n)
		}
	})
}

// A lost peer that answers takes the slot of the youngest link that was made since, its subscribers hear that it was
// found, and the others are dialed at once.
func TestLostPeersTakeTheirSlotsBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := cutOff(t)
		sub := m.Subscribe(t.Context())
		for range 4 {
			if u, err := sub.Next(t.Context()); err != nil || u.Found {
				t.Fatalf("%+v %v", u, err)
			}
		}
		time.Sleep(10 * time.Minute)
		for i := range 4 {
			began := time.Now()
			d, err := m.DialNext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); i > 0 && took > lostSoonest {
				t.Errorf("dial %d after %s", i, took)
			}
			var youngest *link
			for _, l := range m.links {
				if l.slot == slotOutbound && l.peer.id[0] == 'f' &&
					(youngest == nil || l.arrived.After(youngest.arrived)) {
					youngest = l
				}
			}
			l, err := m.dialed(d.ID)
			m.settle(d.ID, l, err)
			if u, err := sub.Next(t.Context()); err != nil || u.ID != d.ID || !u.Found {
				t.Fatalf("%+v %v", u, err)
			}
			e, ok := m.TryEvictNext()
			if !ok || e.ID != youngest.peer.id || e.Reason.Code != muxer.CodeEvicted {
				t.Fatalf("eviction %+v, want %s", e, youngest.peer.id)
			}
			m.down(e.ID, e.LinkID, e.Reason.Code)
			if _, err := sub.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := len(m.dialer.lost.peers); n != 0 || m.Counts() != (Counts{Outbound: 4}) {
			t.Errorf("%d are still looked for, counts %+v", n, m.Counts())
		}
	})
}

// A lost peer for which no link would make room is not dialed, as it would be refused with its link up.
func TestLostPeersWithoutRoomAreLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := cutOff(t)
		for _, l := range m.links {
			if l.slot == slotOutbound { // as if it had been there before the cut
				l.arrived = time.Time{}
			}
		}
		for range 100 {
			m.noDial()
			time.Sleep(lostSoonest)
		}
		if n := len(m.dialer.lost.peers); n != 4 {
			t.Errorf("%d are looked for", n)
		}
	})
}

// One link that breaks, links that somebody ends, and peers that had dialed us are not lost.
func TestWhatIsNotLost(t *testing.T) {
	for name, tc := range map[string]struct {
		ended int
		code  muxer.Code
		pause time.Duration // between two
		young bool          // the links ended right after their beginning
	}{
		"one":          {1, muxer.CodeIdle, 0, false},
		"goodbyes":     {4, muxer.CodeShuttingDown, 0, false},
		"by our will":  {4, muxer.CodeRequested, 0, false},
		"now and then": {2, muxer.CodeIdle, lostWindow + time.Second, false},
		"young links":  {4, muxer.CodeRemoteClosed, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newPM(t, Config{MaxOutbound: 8})
				m.learn(lows(8)...)
				links := map[transport.NodeID]uint64{}
				for range 8 {
					id, l := m.dialUp("")
					links[id] = l
				}
				if !tc.young {
					time.Sleep(time.Minute)
				}
				for i := range tc.ended {
					m.down(lowID(i), links[lowID(i)], tc.code)
					time.Sleep(tc.pause)
				}
				if n := len(m.dialer.lost.peers); n != 0 {
					t.Errorf("%d peers are lost", n)
				}
			})
		})
	}
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		links := map[transport.NodeID]uint64{}
		for _, id := range lows(8) {
			m.learn(id)
			links[id] = m.up(id)
		}
		time.Sleep(time.Minute)
		for id, l := range links {
			m.down(id, l, muxer.CodeIdle)
		}
		if n := len(m.dialer.lost.peers); n != 0 {
			t.Errorf("%d peers that had dialed us are lost", n)
		}
	})
}
