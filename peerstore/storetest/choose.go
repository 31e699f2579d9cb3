package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func testNext(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	if _, ok := s.Next(now, peerstore.Query{}); ok {
		t.Fatal("a peer out of nothing")
	}
	later := now.Add(time.Minute)
	set := func(n int, fn func(*peerstore.Record)) {
		s.Add(Address(n, 1), pex, now)
		s.Update(ID(n), fn)
	}
	set(1, func(r *peerstore.Record) { r.Failures = 3 })
	set(2, func(r *peerstore.Record) {})
	set(3, func(r *peerstore.Record) { r.Addresses[0].LastSuccess = now.Add(-time.Hour) })
	set(4, func(r *peerstore.Record) { r.Addresses[0].LastSuccess = now.Add(-time.Minute) })
	set(5, func(r *peerstore.Record) { r.Score = 50 })
	set(6, func(r *peerstore.Record) { r.Trusted, r.Failures = true, 100 })
	set(7, func(r *peerstore.Record) { r.Trusted, r.Busy = true, true })
	set(8, func(r *peerstore.Record) { r.Trusted, r.NotBefore = true, later })
	set(9, func(r *peerstore.Record) { r.Trusted, r.Quarantined = true, later })
	set(10, func(r *peerstore.Record) { r.Trusted, r.Addresses[0].NotBefore = true, later })
	s.Ensure(ID(11), now, func(r *peerstore.Record) { r.Trusted = true }) // no address
	seen := make(map[transport.NodeID]bool)
	for range 6 {
		r, ok := s.Next(now, peerstore.Query{})
		if !ok || seen[r.ID] || (r.ID == ID(6)) != (len(seen) == 0) {
			t.Fatalf("got %q after %v", r.ID, seen)
		}
		seen[r.ID] = true
		s.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
	}
	if r, ok := s.Next(now, peerstore.Query{}); ok {
		t.Fatal("nobody is due, but", r.ID)
	}
	for range 3 {
		r, ok := s.Next(later, peerstore.Query{})
		if !ok || r.ID != ID(8) && r.ID != ID(9) && r.ID != ID(10) {
			t.Fatal(r.ID, ok)
		}
		s.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
	}
	if _, ok := s.Next(later, peerstore.Query{}); ok {
		t.Fatal("one too many")
	}

	// With two addresses, one is enough.
	s.Update(ID(10), func(r *peerstore.Record) {
		r.Busy, r.Addresses[0].NotBefore = false, later.Add(time.Hour)
		r.Addresses = append(r.Addresses,
			peerstore.AddressRecord{Address: Address(10, 2), NotBefore: later.Add(time.Minute)})
	})
	if _, ok := s.Next(later, peerstore.Query{}); ok {
		t.Fatal("before any address is due")
	}
	if r, ok := s.Next(later.Add(time.Minute), peerstore.Query{}); !ok || r.ID != ID(10) {
		t.Fatal("not when its second address is due")
	}
	// The clock may be set back: no peer is dialed before its time.
	if _, ok := s.Next(later, peerstore.Query{}); ok {
		t.Fatal("not due any more")
	}
	if due, ok := s.NextDue(later); !ok || !due.Equal(later.Add(time.Minute)) {
		t.Fatal(due, ok)
	}
}

func testNextDue(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	if _, ok := s.NextDue(now); ok {
		t.Fatal("due out of nothing")
	}
	const peers = 100
	for n := range peers {
		s.Add(Address(n, 1), pex, now)
		s.Update(ID(n), func(r *peerstore.Record) { r.NotBefore = now.Add(time.Duration(n*37%peers+1) * time.Second) })
	}
	at := now
	for n := range peers {
		due, ok := s.NextDue(at)
		if want := now.Add(time.Duration(n+1) * time.Second); !ok || !due.Equal(want) {
			t.Fatalf("%d: %v %v, want %v", n, due, ok, want)
		}
		if _, ok := s.Next(due.Add(-1), peerstore.Query{}); ok {
			t.Fatal("due before its time")
		}
		at = due
		r, ok := s.Next(at, peerstore.Query{})
		if !ok {
			t.Fatal("nobody is due at", n)
		}
		s.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
	}
	if due, ok := s.NextDue(at); ok {
		t.Fatal("all are busy, but", due)
	}
}

func testNextCallsBack(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	for n := range 50 {
		s.Add(Address(n, 1), pex, now)
	}
	asked := make(map[transport.NodeID]int)
	skip := func(id transport.NodeID) bool { // which may call the store
		asked[id]++
		s.Stats()
		_, ok := s.Get(id)
		return ok
	}
	if _, ok := s.Next(now, peerstore.Query{Skip: skip}); ok || len(asked) != 50 {
		t.Fatal("asked of", len(asked))
	}
	if got := s.Advertise(50, now, func(a transport.Address) bool { return skip(a.ID()) }); len(got) != 0 {
		t.Fatal(got)
	}
}

// testTies checks that equal peers do not always come in the same order.
func testTies(t *testing.T, f Factory) {
	now := start()
	firsts := make(map[transport.NodeID]bool)
	for range 10 {
		s := f.make(t, peerstore.Limits{})
		for n := range 30 {
			s.Add(Address(n, 1), pex, now)
		}
		r, _ := s.Next(now, peerstore.Query{})
		firsts[r.ID] = true
	}
	if len(firsts) < 3 {
		t.Fatal("equals come in the same order:", firsts)
	}
}

func testAdvertise(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	const peers = 40
	for n := range peers {
		s.Add(Address(n, 1), pex, now)
		s.Add(Address(n, 2), pex, now)
		s.Update(ID(n), func(r *peerstore.Record) {
			switch {
			case n == 0:
				r.Private = true
			case n == 1:
				r.Quarantined = now.Add(time.Hour)
			case n < 10:
				r.Addresses[n%2].LastSuccess = now
			case n == 10:
				r.Addresses[0].Failures, r.Addresses[1].Failures = 100, 100
			}
		})
	}
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: ID(2)}}); err != nil {
		t.Fatal(err)
	}
	ip, _ := Address(3, 1).IP()
	if err := s.Ban(peerstore.Ban{Target: peerstore.IPTarget(ip), Until: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	skip := func(a transport.Address) bool { return a.Is(ID(4)) }
	for range 20 {
		got := s.Advertise(1000, now, skip)
		seen := make(map[transport.NodeID]bool)
		for i, a := range got {
			n := 0
			fmt.Sscanf(string(a.ID()), "%x", &n)
			if seen[a.ID()] || n < 5 || n == 10 {
				t.Fatal("told of", n, "twice:", seen[a.ID()])
			}
			seen[a.ID()] = true
			if proved := n < 10; proved != (i < 5) {
				t.Fatal("those that work do not come first:", got)
			}
			if n < 10 && a != Address(n, 1+n%2) {
				t.Fatal("not the address that works:", a)
			}
		}
		if len(got) != peers-6 {
			t.Fatal("told of", len(got))
		}
		if got := s.Advertise(7, now, skip); len(got) != 7 {
			t.Fatal(len(got), "of 7")
		}
	}
	orders := make(map[transport.Address]bool)
	for range 40 {
		orders[s.Advertise(1, now, nil)[0]] = true
	}
	if len(orders) < 3 {
		t.Fatal("always the same", orders)
	}
	if got := s.Advertise(0, now, nil); len(got) != 0 {
		t.Fatal(got)
	}
	if got := s.Advertise(-1, now, nil); len(got) != 0 {
		t.Fatal(got)
	}
	later := now.Add(2 * time.Hour)
	// all but the private one, the one banned forever and the dead one; and that whose quarantine has ended, until it
	// has shown what it is
	if got := s.Advertise(1000, later, nil); len(got) != peers-4 {
		t.Fatal("told of", len(got))
	}
	s.Update(ID(1), func(r *peerstore.Record) { r.Quarantined = time.Time{} })
	if got := s.Advertise(1000, later, nil); len(got) != peers-3 {
		t.Fatal("told of", len(got))
	}
}

func testAdvertiseLocal(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	local := func(n int) transport.Address { return parse(fmt.Sprintf("%s@127.0.0.1:%d", ID(n), 1000+n)) }
	for n := range 10 {
		s.Add(local(n), pex, now)
		if n < 5 {
			s.Update(ID(n), func(r *peerstore.Record) { r.Addresses[0].LastSuccess = now })
		}
	}
	if got := s.Advertise(100, now, nil); len(got) != 10 {
		t.Fatal("all is local, but told of only", len(got))
	}
	// A claim alone does not end that; a public peer that was reached does.
	s.Add(Address(100, 1), pex, now)
	if got := s.Advertise(100, now, nil); len(got) != 11 || got[5] != Address(100, 1) {
		t.Fatal(got)
	}
	s.Update(ID(100), func(r *peerstore.Record) { r.Addresses[0].LastSuccess = now })
	if got := s.Advertise(100, now, nil); len(got) != 1 || got[0] != Address(100, 1) {
		t.Fatal(got)
	}
	// Of a peer with both, the public one is told.
	s.Add(Address(1, 1), pex, now)
	s.Update(ID(1), func(r *peerstore.Record) { r.Addresses[1].LastSuccess = now.Add(-time.Hour) })
	if got := s.Advertise(100, now, nil); len(got) != 2 {
		t.Fatal(got)
	}
	s.Remove(ID(100))
	s.Remove(ID(1))
	if got := s.Advertise(100, now, nil); len(got) != 9 {
		t.Fatal("all is local again, but", got)
	}
}

func testRange(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	const peers = 300
	for n := range peers {
		s.Add(Address(n, 1), pex, now)
		s.Update(ID(n), func(r *peerstore.Record) {
			r.Score = int16(n%201 - 100)
			r.Trusted = n == 0
		})
	}
	seen := make(map[transport.NodeID]bool)
	last := int16(peerstore.MaxScore)
	s.Range(func(r peerstore.Record) bool {
		if seen[r.ID] {
			t.Fatal("twice", r.ID)
		}
		if seen[r.ID] = true; len(seen) == 1 {
			if r.ID != ID(0) {
				t.Fatal("first is", r.ID)
			}
			return true
		}
		if level := r.Score / 25; level > last {
			t.Fatal("out of order")
		} else {
			last = level
		}
		s.Update(r.ID, func(r *peerstore.Record) { r.Height++ }) // no lock is held
		return true
	})
	if len(seen) != peers {
		t.Fatal("saw", len(seen))
	}
	n := 0
	s.Range(func(peerstore.Record) bool { n++; return n < 70 })
	if n != 70 {
		t.Fatal("did not stop:", n)
	}
}
