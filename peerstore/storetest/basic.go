package storetest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func testLearn(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	from := peerstore.Source{Kind: "a kind that is longer than sixteen bytes", From: ID(9)}
	if !s.Add(Address(1, 1), from, now) {
		t.Fatal("a new address was not new")
	}
	if s.Add(Address(1, 1), from, now) {
		t.Fatal("an address was new twice")
	}
	if !s.Add(Address(1, 2), pex, now) {
		t.Fatal("a second address was not new")
	}
	if s.Add(parse("/ip4/11.1.1.1/tcp/1"), pex, now) || s.Add(transport.Address{}, pex, now) {
		t.Fatal("an address without a node was learned")
	}
	r := mustGet(t, s, ID(1))
	if len(r.Addresses) != 2 || !r.FirstSeen.Equal(now) {
		t.Fatalf("%+v", r)
	}
	a := r.Addresses[0]
	if a.Address != Address(1, 1) || a.Source.Kind != from.Kind[:16] || a.Source.From != ID(9) ||
		!a.FirstHeard.Equal(now) || !a.LastHeard.Equal(now) {
		t.Fatalf("%+v", a)
	}
	later := now.Add(time.Hour)
	s.Add(Address(1, 1), pex, later)
	if a := mustGet(t, s, ID(1)).Addresses[0]; !a.LastHeard.Equal(later) || !a.FirstHeard.Equal(now) ||
		a.Source.From != ID(9) {
		t.Fatalf("not refreshed rightly: %+v", a)
	}
	if st := s.Stats(); st != (peerstore.Stats{Known: 1, New: 1}) {
		t.Fatalf("%+v", st)
	}
	if !s.Remove(ID(1)) || s.Remove(ID(1)) {
		t.Fatal("Remove")
	}
	if _, ok := s.Get(ID(1)); ok {
		t.Fatal("known after Remove")
	}

	s.Ensure(ID(2), now, func(r *peerstore.Record) { r.Quarantined = now.Add(time.Hour) })
	if !s.Add(Address(2, 1), pex, now) {
		t.Fatal("an address of a quarantined peer was refused")
	}
}

func testUpdate(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	if s.Update(ID(1), func(*peerstore.Record) { t.Error("called") }) {
		t.Fatal("an update of an unknown peer said true")
	}
	if st := s.Stats(); st.Known != 0 {
		t.Fatal("an update inserted a peer")
	}
	s.Add(Address(1, 1), pex, now)
	if !s.Update(ID(1), func(r *peerstore.Record) {
		r.ID = ID(2)
		r.Height, r.Failures, r.LastConnected = 7, 3, now
		r.Addresses[0].LastSuccess = now
		r.Addresses = append(r.Addresses, r.Addresses[0])                                  // twice the same
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: Address(2, 1)}) // another node's
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: Address(1, 2)}, peerstore.AddressRecord{})
	}) {
		t.Fatal("unknown")
	}
	r := mustGet(t, s, ID(1))
	if r.ID != ID(1) || r.Height != 7 || r.Failures != 3 || !r.LastConnected.Equal(now) || !r.Tried() {
		t.Fatalf("%+v", r)
	}
	if len(r.Addresses) != 2 || r.Addresses[0].Address != Address(1, 1) || r.Addresses[1].Address != Address(1, 2) {
		t.Fatalf("%+v", r.Addresses)
	}
	if st := s.Stats(); st != (peerstore.Stats{Known: 1, Tried: 1}) {
		t.Fatalf("%+v", st)
	}
	s.Update(ID(1), func(r *peerstore.Record) { r.Addresses = nil })
	if st := s.Stats(); st != (peerstore.Stats{Known: 1, New: 1}) {
		t.Fatalf("%+v", st)
	}
	func() { // a panic passes through, and leaves the store usable
		defer func() { _ = recover() }()
		s.Update(ID(1), func(*peerstore.Record) { panic("x") })
	}()
	mustGet(t, s, ID(1))
}

func testEnsure(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{MaxPeers: 2}), start()
	for n := range 5 {
		s.Ensure(ID(n), now, func(r *peerstore.Record) {
			if r.ID != ID(n) || !r.FirstSeen.Equal(now) {
				t.Errorf("%+v", r)
			}
			r.Trusted = true
		})
	}
	if st := s.Stats(); st.Known != 5 {
		t.Fatal("trusted peers beyond MaxPeers:", st.Known)
	}
	if s.Add(Address(9, 1), pex, now) {
		t.Fatal("learned beyond MaxPeers")
	}
	s.Ensure("", now, func(*peerstore.Record) { t.Error("called for no id") })
	s.Ensure(transport.NodeID(strings.Repeat("x", 1000)), now, func(*peerstore.Record) {
		t.Error("called for a long id")
	})
}

func testBounds(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	s.Add(Address(1, 1), pex, now)
	for _, score := range []int16{32767, -32768} {
		s.Update(ID(1), func(r *peerstore.Record) { r.Score = score })
		if got := mustGet(t, s, ID(1)).Score; got != min(max(score, peerstore.MinScore), peerstore.MaxScore) {
			t.Fatal("score", got)
		}
	}
	s.Update(ID(1), func(r *peerstore.Record) {
		r.QuarantineReason = strings.Repeat("ü", 1000)
		r.Addresses[0].LastError = "\xff" + strings.Repeat("x", 1<<20)
		r.Addresses[0].Source.Kind = strings.Repeat("k", 1000)
		r.Addresses[0].Source.From = transport.NodeID(strings.Repeat("f", 1000))
		r.Failures = 1<<32 - 1
		r.Addresses[0].Failures = 1<<32 - 1
		r.NotBefore = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		r.LastConnected = time.Date(-9999, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	r := mustGet(t, s, ID(1))
	for _, text := range []string{r.QuarantineReason, r.Addresses[0].LastError} {
		if len(text) > 128 || len(text) < 127 || !utf8.ValidString(text) {
			t.Fatalf("%d bytes: %q", len(text), text)
		}
	}
	if a := r.Addresses[0]; len(a.Source.Kind) != 16 || len(a.Source.From) > 128 {
		t.Fatalf("%+v", a.Source)
	}
	if _, ok := s.Next(now.AddDate(100, 0, 0), peerstore.Query{}); ok {
		t.Fatal("dialable before the year 9999")
	}
}

func testMaxPeers(t *testing.T, f Factory) {
	const most = 50
	s, now := f.make(t, peerstore.Limits{MaxPeers: most}), start()
	for n := range most {
		s.Add(Address(n, 1), pex, now)
	}
	mark := func(n int, fn func(*peerstore.Record)) { s.Update(ID(n), fn) }
	mark(0, func(r *peerstore.Record) { r.Trusted, r.Score = true, -100 })
	mark(1, func(r *peerstore.Record) { r.Unconditional, r.Score = true, -100 })
	mark(2, func(r *peerstore.Record) { r.Busy, r.Score = true, -100 })
	mark(3, func(r *peerstore.Record) { r.Score = -100 })
	mark(4, func(r *peerstore.Record) { r.Failures = 10 })
	mark(5, func(r *peerstore.Record) { r.Addresses[0].LastSuccess = now })
	for i, gone := range []int{4, 3} {
		if !s.Add(Address(1000+i, 1), pex, now) {
			t.Fatal("no room was made")
		}
		if _, ok := s.Get(ID(gone)); ok {
			t.Fatalf("peer %d should have gone", gone)
		}
	}
	for n := range 10 * most {
		s.Add(Address(2000+n, 1), pex, now)
		if st := s.Stats(); st.Known != most {
			t.Fatal("known", st.Known)
		}
	}
	for _, n := range []int{0, 1, 2, 5} {
		mustGet(t, s, ID(n))
	}
	mark(2, func(r *peerstore.Record) { r.Busy = false })
	if !s.Add(Address(9000, 1), pex, now) {
		t.Fatal("no room was made")
	}
	if _, ok := s.Get(ID(2)); ok {
		t.Fatal("the worst stayed")
	}
}

func testMaxAddresses(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{MaxAddresses: 3}), start()
	for port := 1; port <= 3; port++ {
		if !s.Add(Address(1, port), pex, now) {
			t.Fatal(port)
		}
	}
	if s.Add(Address(1, 4), pex, now) {
		t.Fatal("a fourth address, no better than the others")
	}
	s.Update(ID(1), func(r *peerstore.Record) {
		r.Addresses[0].LastSuccess = now
		r.Addresses[1].Failures = 1
	})
	if !s.Add(Address(1, 4), pex, now) {
		t.Fatal("a new address does not take the place of one that failed")
	}
	want := map[transport.Address]bool{Address(1, 1): true, Address(1, 3): true, Address(1, 4): true}
	r := mustGet(t, s, ID(1))
	for i := range r.Addresses {
		if !want[r.Addresses[i].Address] {
			t.Fatal("holds", r.Addresses[i].Address)
		}
	}
	s.Update(ID(1), func(r *peerstore.Record) {
		for port := range 100 {
			r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: Address(1, 100+port)})
		}
	})
	if r := mustGet(t, s, ID(1)); len(r.Addresses) != 3 || r.Addresses[0].Address != Address(1, 1) {
		t.Fatalf("%+v", r.Addresses)
	}
}

// testForgetting wants peers forgotten that do not answer while others do, and nobody for age alone.
func testForgetting(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{MaxPeers: 40}), start()
	const silent, works, trusted, configured, private, busy = 0, 20, 1, 2, 3, 4
	for n := range works + 1 {
		source := pex
		if n == configured {
			source.Kind = peerstore.SourceConfig
		}
		s.Add(Address(n, 1), source, now)
	}
	s.Update(ID(trusted), func(r *peerstore.Record) { r.Trusted = true })
	s.Update(ID(private), func(r *peerstore.Record) { r.Private = true })
	s.Update(ID(busy), func(r *peerstore.Record) { r.Busy = true })
	// round dials some peers, all of which fail, and one that answers if the network is there.
	round := func(network bool) {
		now = now.Add(30 * time.Minute)
		s.Next(now, peerstore.Query{}) // brings the time
		if network {
			s.Update(ID(works), func(r *peerstore.Record) {
				r.Addresses[0].LastDialed, r.Addresses[0].LastSuccess = now, now
			})
		}
		now = now.Add(30 * time.Minute)
		for n := range 5 {
			s.Update(ID(n), func(r *peerstore.Record) {
				r.Failures++
				r.Addresses[0].Failures++
				r.Addresses[0].LastDialed = now
			})
		}
	}
	for range 50 {
		round(false)
	}
	now = now.AddDate(1, 0, 0)
	if s.Next(now, peerstore.Query{}); s.Stats().Known != works+1 {
		t.Fatalf("%+v without a network", s.Stats())
	}
	for range 9 {
		round(true)
	}
	if _, ok := s.Get(ID(silent)); !ok {
		t.Fatal("forgotten after nine failures that tell something")
	}
	round(true)
	for n := range works + 1 {
		if _, ok := s.Get(ID(n)); ok != (n != silent) {
			t.Fatalf("peer %d known: %v", n, ok)
		}
	}
	if st := s.Stats(); st.Forgotten != 1 {
		t.Fatalf("%+v", st)
	}
}

func testMeta(t *testing.T, f Factory) {
	s := f.make(t, peerstore.Limits{})
	value := []byte("value")
	s.SetMeta("a", value)
	value[0] = 'x'
	got := s.Meta("a")
	if string(got) != "value" {
		t.Fatalf("%q", got)
	}
	got[0] = 'x'
	if string(s.Meta("a")) != "value" {
		t.Fatal("not a copy")
	}
	s.SetMeta("big", make([]byte, peerstore.MaxMetaValue+1))
	s.SetMeta("", []byte("x"))
	s.SetMeta(strings.Repeat("k", peerstore.MaxMetaKey+1), []byte("x"))
	if s.Meta("big") != nil || s.Meta("") != nil || s.Meta(strings.Repeat("k", peerstore.MaxMetaKey+1)) != nil {
		t.Fatal("out of bounds")
	}
	big := bytes.Repeat([]byte{7}, peerstore.MaxMetaValue)
	s.SetMeta("big", big)
	if !bytes.Equal(s.Meta("big"), big) {
		t.Fatal("the largest value")
	}
	s.SetMeta("empty", []byte{})
	if v := s.Meta("empty"); v == nil || len(v) != 0 {
		t.Fatalf("%v", v)
	}
	s.SetMeta("a", nil)
	if s.Meta("a") != nil {
		t.Fatal("not removed")
	}
}

func testCopies(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	s.Add(Address(1, 1), pex, now)
	r := mustGet(t, s, ID(1))
	r.Addresses[0].Failures = 9
	n, _ := s.Next(now, peerstore.Query{})
	n.Addresses[0].Failures = 9
	s.Range(func(r peerstore.Record) bool { r.Addresses[0].Failures = 9; return true })
	own := []peerstore.AddressRecord{{Address: Address(1, 2)}}
	s.Update(ID(1), func(r *peerstore.Record) { r.Addresses = append(r.Addresses[:1], own...) })
	s.Update(ID(1), func(r *peerstore.Record) { r.Addresses = own })
	own[0].Failures = 9
	if own[0].Address != Address(1, 2) {
		t.Fatal("the store wrote to memory that is not its own")
	}
	if r := mustGet(t, s, ID(1)); len(r.Addresses) != 1 || r.Addresses[0].Failures != 0 {
		t.Fatalf("%+v", r.Addresses)
	}
}

// testConcurrent gives the race detector something to find, and shows deadlocks.
func testConcurrent(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{MaxPeers: 200}), start()
	var wg sync.WaitGroup
	const workers, steps = 8, 1500
	for w := range workers {
		wg.Go(func() {
			m := newMix(uint64(w + 1))
			at := now
			for range steps {
				at = at.Add(time.Duration(m.IntN(100)) * time.Millisecond)
				n := m.IntN(400)
				switch m.IntN(12) {
				case 0, 1, 2:
					s.Add(Address(n, 1+m.IntN(3)), pex, at)
				case 3:
					if r, ok := s.Next(at, peerstore.Query{Skip: func(id transport.NodeID) bool {
						_, known := s.Get(id)
						return !known
					}}); ok {
						s.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
						s.Update(r.ID, func(r *peerstore.Record) {
							r.Busy, r.NotBefore = false, at.Add(time.Second)
							r.Failures++
						})
					}
				case 4:
					s.NextDue(at)
				case 5:
					s.Advertise(10, at, func(a transport.Address) bool { return a.Is(ID(n)) })
				case 6:
					s.Range(func(peerstore.Record) bool { return m.IntN(50) > 0 })
				case 7:
					if m.IntN(20) == 0 {
						if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: ID(n)},
							Until: at.Add(time.Second)}); err != nil {
							t.Error(err)
						}
					}
				case 8:
					ip, _ := Address(n, 1).IP()
					s.Banned(ID(n), ip, at)
					s.Stats()
				case 9:
					s.Remove(ID(n))
				case 10:
					s.Ensure(ID(n), at, func(r *peerstore.Record) { r.Height++ })
				case 11:
					s.SetMeta("k", []byte{byte(n)})
					s.Meta("k")
				}
			}
		})
	}
	wg.Wait()
}

func testBuckets(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	sum := func(fill []int) (n int) {
		for _, k := range fill {
			n += k
		}
		return n
	}
	for n := range 100 {
		s.Add(Address(n, 1), pex, now)
	}
	s.Add(Address(200, 1), peerstore.Source{Kind: peerstore.SourceConfig}, now) // it needs no place
	for n := range 10 {
		s.Update(ID(n), func(r *peerstore.Record) { r.Addresses[0].LastSuccess = now })
	}
	b := s.Buckets()
	if st := s.Stats(); b.Size < 1 || sum(b.Tried) != 10 || sum(b.New) != st.New-1 || st.New < 50 {
		t.Fatalf("%d new, %d tried in buckets of %d; %+v", sum(b.New), sum(b.Tried), b.Size, s.Stats())
	}
	b.New[0] = 1 << 20
	if s.Buckets().New[0] > b.Size {
		t.Fatal("the buckets are no copy")
	}
}
