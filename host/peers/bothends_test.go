package peers

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	memstore "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Two nodes dial each other at the same time, with random delays at every step. Both must keep the same link, the other
// must be closed, and neither may tell its subscribers of more than one coming up. The ends play the router's part as
// link.go does.
func TestBothEndsKeepTheSameLink(t *testing.T) {
	for _, tc := range []struct {
		name     string
		confirms bool
		// the higher one is a CometBFT node: it keeps what it finished first and closes the other one silently
		comet bool
	}{{"with confirmation", true, false}, {"without confirmation", false, false},
		{"CometBFT at the other end", false, true}} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(700) {
				inBubble(t, func(t *testing.T) { playSimultaneous(t, seed, tc.confirms, tc.comet) })
			}
		})
	}
}

type simEnd struct {
	m       *pm // nil: a CometBFT node
	sub     *Subscription
	peer    transport.NodeID
	arrived map[uint64]bool
	closed  map[uint64]bool // at this end
	settled map[uint64]bool
	said    map[uint64]bool // with confirmation: it has accepted the link
	heard   map[uint64]bool // and so has the remote
	kept    uint64          // CometBFT: its link
}

func playSimultaneous(t *testing.T, seed uint64, confirms, comet bool) {
	const grace = time.Second
	rng := rand.New(rand.NewPCG(seed, 7))
	ids := [2]transport.NodeID{lowID(1), highID(1)}
	var ends [2]*simEnd
	for i := range ends {
		e := &simEnd{peer: ids[1-i], arrived: map[uint64]bool{}, closed: map[uint64]bool{}, settled: map[uint64]bool{},
			said: map[uint64]bool{}, heard: map[uint64]bool{}}
		ends[i] = e
		if comet && i == 1 {
			continue
		}
		m, err := New(ids[i], Config{Seed: seed + 1}, memstore.NewSeeded(peerstore.Limits{}, 1))
		if err != nil {
			t.Fatal(err)
		}
		e.m = &pm{Manager: m, t: t}
		m.Add(addrOf(t, e.peer, 0), peerstore.Source{Kind: "pex"})
		e.sub = m.Subscribe(t.Context())
		defer e.sub.Close()
		if _, ok := m.TryDialNext(); !ok {
			t.Fatal("no dial")
		}
	}
	// A queue of events in virtual time.
	type event struct {
		at time.Duration
		do func()
	}
	var queue []event
	var now time.Duration
	after := func(d time.Duration, do func()) { queue = append(queue, event{now + d, do}) }
	delay := func() time.Duration { return time.Duration(rng.Int64N(int64(400 * time.Millisecond))) }

	var closeLink func(i int, link uint64, code muxer.Code)
	packet := func(int, uint64) {}
	settle := func(i int, link uint64) {
		e := ends[i]
		if e.closed[link] || e.settled[link] {
			return
		}
		e.settled[link] = true
		preferred, dup := e.m.Established(e.peer, link)
		if dup != nil {
			closeLink(i, dup.LinkID, muxer.CodeDuplicate)
		}
		if preferred {
			e.m.Ready(e.peer, link, link, []byte{1})
		}
	}
	run := func(i int, link uint64) { // as runLink does
		if confirms {
			if ends[i].said[link] && ends[i].heard[link] {
				settle(i, link)
			}
			return
		}
		after(grace, func() { settle(i, link) })
		after(delay(), func() { packet(1-i, link) }) // a first packet reaches the remote
	}
	packet = func(i int, link uint64) { // it counts once the session reads it
		e := ends[i]
		if e.m != nil && e.arrived[link] && !e.closed[link] && rng.IntN(2) == 0 {
			settle(i, link)
		}
	}
	gone := func(i int, link uint64, code muxer.Code) { // the link has ended at this end
		e := ends[i]
		if e.closed[link] {
			return
		}
		e.closed[link] = true
		if !e.arrived[link] {
			return
		}
		if e.m == nil {
			if e.kept == link {
				e.kept = 0
			}
			return
		}
		heir, ready := e.m.Disconnected(e.peer, link,
			&DisconnectError{Code: code, Remote: code == muxer.CodeRemoteClosed})
		if ready != e.settled[heir] {
			t.Fatalf("seed %d: end %d: link %d takes over, established %v", seed, i, heir, ready)
		}
		if ready {
			e.m.Ready(e.peer, heir, heir, []byte{1})
		}
	}
	closeLink = func(i int, link uint64, code muxer.Code) {
		gone(i, link, code)
		remote := code
		if !confirms {
			remote = muxer.CodeRemoteClosed
		}
		after(delay(), func() { gone(1-i, link, remote) })
	}
	arrive := func(i int, link uint64, side muxer.Side) {
		e := ends[i]
		e.arrived[link] = true
		if e.m == nil {
			if e.kept != 0 && !e.closed[e.kept] {
				closeLink(i, link, muxer.CodeRemoteClosed)
				return
			}
			e.kept = link
			if !e.closed[link] {
				after(delay(), func() { packet(1-i, link) })
			}
			return
		}
		a := Arrival{ID: e.peer, Side: side, LinkID: link, Confirms: confirms}
		if side == muxer.Dialer {
			a.Dialed = addrOf(t, e.peer, 0)
		}
		if err := e.m.Arrived(a); err != nil {
			e.closed[link] = true
			after(delay(), func() { gone(1-i, link, muxer.CodeRemoteClosed) })
			return
		}
		if e.closed[link] { // the remote was quicker: the session ends as soon as it is read
			e.closed[link] = false
			gone(i, link, muxer.CodeRemoteClosed)
			return
		}
		if confirms {
			e.said[link] = true
			after(delay(), func() {
				o := ends[1-i]
				o.heard[link] = true
				if o.said[link] {
					run(1-i, link)
				}
			})
		}
		run(i, link)
	}
	for i := range ends { // link i+1 is the one that end i dials; its handshake ends at both ends within a round trip
		at := delay()
		for j := range ends {
			side := muxer.Listener
			if i == j {
				side = muxer.Dialer
			}
			after(at+delay()/2, func() { arrive(j, uint64(i+1), side) })
		}
	}
	for len(queue) > 0 {
		sort.SliceStable(queue, func(a, b int) bool { return queue[a].at < queue[b].at })
		ev := queue[0]
		queue = queue[1:]
		time.Sleep(ev.at - now)
		now = ev.at
		ev.do()
	}
	if t.Failed() {
		return
	}
	var kept [2]uint64
	for i, e := range ends {
		if e.m == nil {
			kept[i] = e.kept
			continue
		}
		st, _ := e.m.Status(e.peer)
		kept[i] = st.LinkID
		if st.State != StateUp {
			t.Fatalf("seed %d: end %d: %+v", seed, i, st)
		}
		if c := e.m.Counts(); c.Inbound+c.Outbound != 1 || c.Dialing != 0 {
			t.Fatalf("seed %d: end %d: %+v", seed, i, c)
		}
		if problem := onlyUp(e.sub); problem != "" {
			t.Fatalf("seed %d: end %d: %s", seed, i, problem)
		}
	}
	if kept[0] == 0 || kept[0] != kept[1] {
		t.Fatalf("seed %d: the ends keep %d and %d", seed, kept[0], kept[1])
	}
}

// onlyUp says what else than one coming up a subscriber is told.
func onlyUp(s *Subscription) string {
	u, ok, _ := s.take()
	if !ok || u.Status != Up {
		return fmt.Sprintf("%+v %v", u, ok)
	}
	if u, ok, _ = s.take(); ok {
		return fmt.Sprintf("then %+v", u)
	}
	return ""
}
