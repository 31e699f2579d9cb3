package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	memstore "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

var errUnreachable = handshake.Fail(handshake.StageTransport, muxer.CodeTransport, errors.New("connection refused"))

func TestBackoffBounds(t *testing.T) {
	for _, tc := range []struct {
		trusted bool
		most    time.Duration
		last    time.Duration // since the last link
	}{{false, time.Hour, recently}, {false, 10 * time.Minute, 0}, {true, time.Minute, 0}} {
		inBubble(t, func(t *testing.T) {
			id := lowID(1)
			cfg := Config{}
			if tc.trusted {
				cfg.Persistent = []transport.Address{addrOf(t, id, 0)}
			}
			m := newPM(t, cfg)
			m.up(highID(9)) // not isolated
			if !tc.trusted {
				m.learn(id)
				// worked once: it is kept
				m.store.Update(id, func(r *peerstore.Record) { r.LastConnected = time.Now().Add(-tc.last) })
			}
			least := time.Second
			for n := 1; n <= 19; n++ {
				m.mustDial(id)
				before := time.Now()
				m.fail(id, errUnreachable)
				rec := m.record(id)
				wait := rec.Addresses[0].NotBefore.Sub(before)
				low := min(least, tc.most*3/4)
				high := min(least+least/4, tc.most)
				if wait < low || wait > high {
					t.Fatalf("after %d failures the address rests %s, want %s to %s", n, wait, low, high)
				}
				if rec.Failures != uint32(n) || rec.Addresses[0].Failures != uint32(n) {
					t.Fatalf("after %d failures: %+v", n, rec)
				}
				time.Sleep(wait - 1)
				m.noDial()
				time.Sleep(time.Nanosecond)
				least = min(least*2, tc.most)
			}
		})
	}
}

// A peer that has just vanished is dialed every half a minute, for ten.
func TestBackoffOfAPeerThatHasJustVanished(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		m.up(highID(9)) // not isolated
		id := lowID(1)
		m.learn(id)
		_, link := m.dialUp(id)
		time.Sleep(time.Hour)
		m.down(id, link, muxer.CodeIdle)
		began, dials, longest := time.Now(), 0, time.Duration(0)
		for last := began; time.Since(began) < justNow; dials++ {
			if d, err := m.DialNext(t.Context()); err != nil || d.ID != id {
				t.Fatal(d, err)
			}
			longest, last = max(longest, time.Since(last)), time.Now()
			m.fail(id, errUnreachable)
		}
		if longest > 40*time.Second || dials < 20 || dials > 70 {
			t.Errorf("%d dials, one after %s", dials, longest)
		}
	})
}

func TestFailuresByCode(t *testing.T) {
	id := lowID(1)
	refusal := func(code muxer.Code, remote bool) error { return &handshake.Refusal{Code: code, Remote: remote} }
	failed := func(code muxer.Code, err error) error { return handshake.Fail("stage", code, err) }
	errX := errors.New("x")
	const minimum = time.Second // Config.MinBackoff
	for name, tc := range map[string]struct {
		err      error
		failures uint32        // of the peer and the address
		least    time.Duration // until it is dialed again; a quarter more at most, if it is no fixed time
		gone     bool          // the address was dropped, and the peer with it
	}{
		"refused":          {errUnreachable, 1, minimum, false},
		"full":             {refusal(muxer.CodeTooManyPeers, true), 0, fullBackoff, false},
		"full, wrapped":    {fmt.Errorf("x: %w", refusal(muxer.CodeTooManyPeers, true)), 0, fullBackoff, false},
		"full, when asked": {&DisconnectError{Code: muxer.CodeTooManyPeers, Remote: true}, 0, fullBackoff, false},
		"busy":             {refusal(muxer.CodeTooManyStarts, true), 0, fullBackoff, false},
		"duplicate":        {refusal(muxer.CodeDuplicate, true), 0, duplicateBackoff, false},
		"we are full":      {refusal(muxer.CodeTooManyPeers, false), 0, minimum, false},
		"cancelled":        {failed(muxer.CodeTransport, context.Canceled), 0, minimum, false},
		"we stop":          {&DisconnectError{Code: muxer.CodeShuttingDown}, 0, minimum, false},
		"no transport":     {failed(muxer.CodeIncompatible, transport.ErrNoTransport), 1, time.Hour, false},
		"banned there":     {refusal(muxer.CodeBanned, true), 1, minimum, false},
		"another peer's":   {failed(muxer.CodeWrongID, errX), 0, 0, true},
		"our own":          {failed(muxer.CodeSelf, errX), 0, 0, true},
	} {
		for _, proven := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, proven %v", name, proven), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					m := newPM(t, Config{})
					m.learn(id)
					m.mustDial(id)
					err := tc.err
					if proven {
						err = proving(id, err)
					}
					m.fail(id, err)
					if c := m.Counts(); c != (Counts{}) {
						t.Fatalf("counts %+v", c)
					}
					if tc.gone {
						if _, ok := m.store.Get(id); ok {
							t.Fatal("the peer is still known")
						}
						return
					}
					rec := m.record(id)
					if rec.Failures != tc.failures || rec.Addresses[0].Failures != tc.failures || rec.Busy ||
						!rec.Addresses[0].LastDialed.Equal(time.Now()) {
						t.Fatalf("record %+v", rec)
					}
					time.Sleep(tc.least - 1)
					m.noDial()
					time.Sleep(tc.least/4 + 1)
					m.mustDial(id)
				})
			})
		}
	}
}

func TestWrongNetworkIsQuarantined(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Quarantine: time.Hour})
		id := lowID(1)
		m.learn(id)
		m.dialUp(id)
		if got := m.Advertise("", 10); len(got) != 1 {
			t.Fatalf("advertised %v", got)
		}
		m.down(id, m.last, muxer.CodeWrongNetwork)
		if got := m.Advertise("", 10); len(got) != 0 {
			t.Fatalf("advertised %v of another network", got)
		}
		m.noDial()
		if err := m.Add(addrOf(t, id, 1), peerstore.Source{Kind: "pex"}); err != nil { // it may be of use afterwards
			t.Fatal(err)
		}
		m.noDial()
		st, ok := m.Status(id)
		if !ok || st.Reason == "" || !st.Quarantined.Equal(time.Now().Add(time.Hour)) {
			t.Fatalf("status %+v", st)
		}
		time.Sleep(time.Hour)
		m.mustDial(id)
	})
}

func TestRemembersItsOwnAddresses(t *testing.T) {
	m := newPM(t, Config{})
	id, other := lowID(1), lowID(2)
	m.learn(id)
	d := m.mustDial(id)
	m.fail(id, &handshake.StageError{Stage: "security", Code: muxer.CodeSelf, Err: errors.New("ourselves")})
	if m.Add(d.Addresses[0], peerstore.Source{Kind: "pex"}) == nil {
		t.Fatal("learned our own address again")
	}
	same, err := transport.NewAddress(d.Addresses[0].Multiaddr(), string(other))
	if err == nil && m.Add(same, peerstore.Source{Kind: "pex"}) == nil {
		t.Fatal("learned our own address under another name")
	}
	if m.Add(addrOf(t, pmSelf, 0), peerstore.Source{Kind: "pex"}) == nil {
		t.Fatal("learned ourselves")
	}
	for i := range 3 * maxSelves {
		m.mu.Lock()
		m.selves.add(addrOf(t, highID(i), 0))
		n := len(m.selves.addrs)
		m.mu.Unlock()
		if n > maxSelves {
			t.Fatalf("%d own addresses", n)
		}
	}
}

// One link is no evidence that a network is there: no peer is forgotten while all dials fail, however long.
func TestOneLinkIsNoEvidence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		m.up(highID(9))
		for n := range 40 {
			m.learn(lowID(n))
		}
		for range 7 * 24 {
			for d, ok := m.TryDialNext(); ok; d, ok = m.TryDialNext() {
				m.fail(d.ID, errUnreachable)
			}
			time.Sleep(time.Hour)
		}
		for n := range 40 {
			if rec := m.record(lowID(n)); rec.Failures < 20 {
				t.Fatalf("%d failures", rec.Failures)
			}
		}
	})
}

// Without any link the fault may be ours: peers are tried often and none is forgotten, so that the node is back soon
// after the network is.
func TestIsolated(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		ids := []transport.NodeID{lowID(1), lowID(2), lowID(3)}
		m.learn(ids...)
		m.dialUp("")
		for range 2 {
			m.fail(m.mustDial("").ID, errUnreachable)
		}
		time.Sleep(time.Minute)
		for id := range m.Scores() { // the one that is linked, and the dials
			if st, _ := m.Status(id); st.LinkID != 0 {
				m.down(id, st.LinkID, muxer.CodeTransport)
			}
		}
		for range 1000 {
			for {
				d, ok := m.TryDialNext()
				if !ok {
					break
				}
				m.fail(d.ID, errUnreachable)
			}
			time.Sleep(time.Minute)
		}
		for _, id := range ids {
			m.mustDial("")
			if rec := m.record(id); rec.Failures != isolatedFailures {
				t.Fatalf("record %+v", rec)
			}
		}
	})
}

func TestAddressesBestFirst(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		id := lowID(1)
		for n := range 4 {
			m.Add(addrOf(t, id, n), peerstore.Source{Kind: "pex"})
		}
		m.store.Update(id, func(r *peerstore.Record) {
			r.Addresses[0].NotBefore = time.Now().Add(time.Minute) // not due
			r.Addresses[1].Failures = 2
			r.Addresses[3].LastSuccess = time.Now()
		})
		d := m.mustDial(id)
		want := []transport.Address{addrOf(t, id, 3), addrOf(t, id, 2), addrOf(t, id, 1)}
		if !slices.Equal(d.Addresses, want) {
			t.Fatalf("addresses %v, want %v", d.Addresses, want)
		}
		m.DialFailed(id, []DialFailure{{want[0], errUnreachable}, {want[1], errUnreachable}, {want[2], errUnreachable}})
		rec := m.record(id)
		if rec.Failures != 0 || rec.Addresses[1].Failures != 3 || rec.Addresses[2].Failures != 1 ||
			rec.Addresses[0].Failures != 0 {
			t.Fatalf("record %+v", rec)
		}
	})
}

// DialNext wakes for each event that can bring a dial, and for the end of a backoff, and holds no goroutine.
func TestDialNextWakes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 1})
		a, b := lowID(1), lowID(2)
		ctx, cancel := context.WithCancel(t.Context())
		dials := make(chan Dial)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				d, err := m.DialNext(ctx)
				if err != nil {
					return
				}
				dials <- d
			}
		}()
		none := func(when string) {
			t.Helper()
			synctest.Wait()
			select {
			case d := <-dials:
				t.Fatalf("%s: dial %+v", when, d)
			default:
			}
		}
		next := func(want transport.NodeID, when string) {
			t.Helper()
			synctest.Wait()
			select {
			case d := <-dials:
				if d.ID != want {
					t.Fatalf("%s: dial %+v", when, d)
				}
			default:
				t.Fatalf("%s: no dial", when)
			}
		}
		none("at first")
		m.learn(a)
		next(a, "a new address")
		m.learn(b)
		none("no slot")
		m.fail(a, errUnreachable)
		next(b, "a dial that failed")
		time.Sleep(10 * time.Second)
		none("no slot")
		l, err := m.dialed(b)
		m.settle(b, l, err)
		none("no slot")
		m.down(b, l, muxer.CodeRemoteClosed)
		next(a, "a link that ended")
		m.fail(a, errUnreachable)
		time.Sleep(1250 * time.Millisecond)
		next(b, "the end of a backoff")
		m.fail(b, errUnreachable)
		if err := m.Ban(peerstore.Target{ID: a}, time.Time{}, "test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		next(b, "another backoff")
		m.fail(b, errUnreachable)
		if _, err := m.Unban(peerstore.Target{ID: a}); err != nil {
			t.Fatal(err)
		}
		next(a, "a ban that was lifted")
		time.Sleep(time.Minute) // b is due
		none("no slot")
		refusal := m.arrival(a)
		refusal.IP = netip.MustParseAddr("6.6.6.6")
		if err := m.Ban(peerstore.Target{Prefix: ipPrefix("6.6.6.6/32")}, time.Time{}, "test"); err != nil {
			t.Fatal(err)
		}
		err = m.Arrived(dialed(refusal))
		refused(t, err, muxer.CodeBanned, "")
		next(b, "a link that was refused")
		cancel()
		<-done
	})
}

func TestBeginDial(t *testing.T) {
	m := newPM(t, Config{MaxOutbound: -1})
	id := lowID(1)
	addr := addrOf(t, id, 0)
	if err := m.BeginDial(addr); err != nil {
		t.Fatal(err)
	}
	refused(t, m.BeginDial(addr), muxer.CodeDuplicate, "")
	refused(t, m.BeginDial(addrOf(t, pmSelf, 0)), muxer.CodeSelf, "")
	l, err := m.dialed(id)
	m.settle(id, l, err)
	if c := m.Counts(); c != (Counts{Trusted: 1}) {
		t.Fatalf("counts %+v", c)
	}
	refused(t, m.BeginDial(addr), muxer.CodeDuplicate, "")
	m.noEviction()
	m.down(id, l, muxer.CodeRequested)
	if err := m.Ban(peerstore.Target{Prefix: ipPrefix("0.0.0.0/0")}, time.Time{}, "all"); err != nil {
		t.Fatal(err)
	}
	refused(t, m.BeginDial(addr), muxer.CodeBanned, "")
}

// The dialer that waits for peers does not snatch the address that an operator asks for, so that the operator is told
// of a dial that nobody else began.
func TestBeginDialComesFirst(t *testing.T) {
	m := newPM(t, Config{MaxOutbound: 1000})
	var wg sync.WaitGroup
	defer wg.Wait()
	over := make(chan struct{})
	defer close(over)
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				m.TryDialNext()
			}
		}
	})
	for i := range 2000 {
		id := lowID(i + 1)
		if err := m.BeginDial(addrOf(t, id, 0)); err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		m.DialFailed(id, nil)
	}
}

func TestPeerConfigIsChecked(t *testing.T) {
	open := mustAddress(t, "/ip4/1.2.3.4/tcp/26656")
	for name, cfg := range map[string]Config{
		"open persistent": {Persistent: []transport.Address{open}},
		"empty id":        {Unconditional: []transport.NodeID{""}},
		"empty private":   {Private: []transport.NodeID{""}},
		"no connections":  {ConnectionsPerIP: -1},
		"negative":        {StableAfter: -1},
		"bounds":          {MinBackoff: 2 * time.Minute},
		"recent bound":    {MinBackoff: 2 * time.Minute, MaxTrustedBackoff: time.Hour, MaxRecentBackoff: time.Minute},
	} {
		if _, err := New(pmSelf, cfg, memstore.NewSeeded(peerstore.Limits{}, 1)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestConfiguredFlagsGoWithTheConfiguration(t *testing.T) {
	book := memstore.NewSeeded(peerstore.Limits{}, 1)
	a, b, c := lowID(1), lowID(2), lowID(3)
	book.Add(addrOf(t, pmSelf, 1), peerstore.Source{Kind: "pex"}, time.Now()) // another node had our key
	first := Config{Persistent: []transport.Address{addrOf(t, a, 0), addrOf(t, pmSelf, 0)},
		Unconditional: []transport.NodeID{b, pmSelf}, Private: []transport.NodeID{c}}
	if _, err := New(pmSelf, first, book); err != nil {
		t.Fatal(err)
	}
	flags := func(id transport.NodeID) [3]bool {
		r, _ := book.Get(id)
		return [3]bool{r.Trusted, r.Unconditional, r.Private}
	}
	if flags(a) != [3]bool{true, false, false} || flags(b) != [3]bool{false, true, false} ||
		flags(c) != [3]bool{false, false, true} {
		t.Fatal("flags are not set", flags(a), flags(b), flags(c))
	}
	if _, ok := book.Get(pmSelf); ok {
		t.Fatal("we know ourselves")
	}
	if _, err := New(pmSelf, Config{Private: []transport.NodeID{a}}, book); err != nil {
		t.Fatal(err)
	}
	if flags(a) != [3]bool{false, false, true} || flags(b) != [3]bool{} || flags(c) != [3]bool{} {
		t.Fatal("flags stay", flags(a), flags(b), flags(c))
	}
}
