package book

import (
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// failing is a book in which peer 0 fails while others work.
type failing struct {
	*shelf
	others int
}

// newFailing makes a book with enough peers that work, and as many that are new, for the floor to be no matter.
func newFailing(t *testing.T) *failing {
	s := newShelf(t)
	s.Book = New(peerstore.Limits{MaxPeers: 40}, 1)
	f := &failing{s, 15}
	for n := range 2 * f.others {
		a := groupAddress(t, 1+n, 1+n)
		s.Add(a, peerstore.Source{Kind: "pex"}, s.now)
		if n < f.others {
			s.works(a.ID(), s.now)
		}
	}
	return f
}

// fail lets peer 0 fail so many times, an hour apart, each after another one has worked if the network is there.
func (f *failing) fail(times int, network bool) {
	for n := range times {
		f.now = f.now.Add(time.Hour)
		f.Advertise(1, f.now, nil) // brings the time
		if network {
			f.works(storetest.ID(1+n%f.others), f.now)
		}
		f.now = f.now.Add(time.Second)
		f.fails(storetest.ID(0))
	}
}

// TestForget wants peers of which nothing answers forgotten, and nobody else.
func TestForget(t *testing.T) {
	const week = 7 * 24
	for _, c := range []struct {
		name     string
		failures int
		change   func(f *failing, r *peerstore.Record)
		gone     bool
	}{
		{"never worked", 10, nil, true},
		{"never worked, few failures", 9, nil, false},
		{"worked, few failures", 19, func(f *failing, r *peerstore.Record) {
			r.Addresses[0].LastSuccess = f.now.Add(-week * time.Hour)
		}, false},
		{"worked long ago", 20, func(f *failing, r *peerstore.Record) {
			r.Addresses[0].LastSuccess = f.now.Add(-week * time.Hour)
		}, true},
		{"worked lately", 150, func(f *failing, r *peerstore.Record) { r.Addresses[0].LastSuccess = f.now }, false},
		{"has linked to us lately", 150, func(f *failing, r *peerstore.Record) { r.LastConnected = f.now }, false},
		{"linked to us long ago", 20, func(f *failing, r *peerstore.Record) {
			r.LastConnected = f.now.Add(-week * time.Hour)
		}, true},
		{"a trusted one", 100, func(_ *failing, r *peerstore.Record) { r.Trusted = true }, false},
		{"an unconditional one", 100, func(_ *failing, r *peerstore.Record) { r.Unconditional = true }, false},
		{"a private one", 100, func(_ *failing, r *peerstore.Record) { r.Private = true }, false},
		{"a busy one", 100, func(_ *failing, r *peerstore.Record) { r.Busy = true }, false},
		{"a configured one", 100, func(_ *failing, r *peerstore.Record) {
			r.Addresses[0].Source.Kind = peerstore.SourceConfig
		}, false},
		{"one of the static list", 100, func(_ *failing, r *peerstore.Record) {
			r.Addresses[0].Source.Kind = peerstore.SourceStatic
		}, false},
		{"one with another address", 100, func(f *failing, r *peerstore.Record) {
			r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: groupAddress(f.t, 0, 2)})
		}, false},
	} {
		f := newFailing(t)
		a := groupAddress(t, 0, 99)
		f.Add(a, peerstore.Source{Kind: "pex"}, f.now)
		if c.change != nil {
			f.Update(a.ID(), func(r *peerstore.Record) { c.change(f, r) })
		}
		f.fail(c.failures, true)
		if _, known := f.Get(a.ID()); known == c.gone {
			t.Errorf("%s: known %v", c.name, known)
		}
		if n := f.Stats().Forgotten; int(n) != b2i(c.gone) {
			t.Errorf("%s: %d forgotten", c.name, n)
		}
		if err := checkBook(f.Book); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingIsForgottenWithoutEvidence wants a peer to stay that fails while nothing else works: without a network,
// after any time, and with links to this machine alone.
func TestNothingIsForgottenWithoutEvidence(t *testing.T) {
	f := newFailing(t)
	local := mustParse(t, string(storetest.ID(100))+"@127.0.0.1:26656")
	f.Add(local, peerstore.Source{Kind: "pex"}, f.now)
	f.Add(groupAddress(t, 0, 99), peerstore.Source{Kind: "pex"}, f.now)
	known := f.Stats().Known
	for range 100 {
		f.fail(1, false)
		f.works(local.ID(), f.now)
		f.now = f.now.AddDate(0, 1, 0)
	}
	if got := f.Stats(); got.Known != known || got.Forgotten != 0 {
		t.Fatalf("%+v of %d", got, known)
	}
	f.fail(8, true) // the very first one counted, too
	if _, ok := f.Get(storetest.ID(0)); !ok {
		t.Fatal("forgotten for failures of before")
	}
	if f.fail(1, true); f.Stats().Forgotten != 1 {
		t.Fatal("not forgotten")
	}
}

// TestFloor wants a number of peers to stay whatever fails.
func TestFloor(t *testing.T) {
	s := newShelf(t)
	s.Book = New(peerstore.Limits{MaxPeers: 40}, 1)
	for n := range 31 {
		s.Add(groupAddress(t, n, n), peerstore.Source{Kind: "pex"}, s.now)
	}
	for range 30 {
		s.now = s.now.Add(time.Hour)
		s.Advertise(1, s.now, nil)
		s.works(storetest.ID(30), s.now)
		s.now = s.now.Add(time.Second)
		for n := range 30 {
			s.fails(storetest.ID(n))
		}
	}
	if got := s.Stats(); got.New != 10 || got.Tried != 1 || got.Forgotten != 20 {
		t.Fatalf("%+v", got)
	}
}

// TestClockSetBack wants what waits to wait for as long as it was to, whatever the wall clock did meanwhile, and the
// whole book to be there.
func TestClockSetBack(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, 60 * 24 * time.Hour, 8000 * 24 * time.Hour} {
		s := newShelf(t)
		right := s.now
		for n := range 100 {
			s.Add(groupAddress(t, n, n), peerstore.Source{Kind: "pex"}, s.now)
		}
		s.now = right.Add(ahead)
		s.Next(s.now, peerstore.Query{})
		for n := range 100 {
			s.Update(storetest.ID(n), func(r *peerstore.Record) {
				r.NotBefore, r.Addresses[0].NotBefore = s.now.Add(time.Minute), s.now.Add(2*time.Minute)
				r.Quarantined = s.now.Add(3 * time.Minute)
			})
		}
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(0)}, Since: s.now,
			Until: s.now.Add(10 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		s.now = right
		at, ok := s.NextDue(s.now)
		if want := right.Add(3 * time.Minute); !ok || !at.Equal(want) {
			t.Errorf("ahead by %v: due in %v, %v", ahead, at.Sub(right), ok)
		}
		if n := s.Stats().Known; n != 100 {
			t.Errorf("ahead by %v: %d are known", ahead, n)
		}
		s.now = right.Add(3 * time.Minute)
		if _, ok := s.Next(s.now, peerstore.Query{}); !ok {
			t.Errorf("ahead by %v: nobody is due", ahead)
		}
		s.now = right.Add(11 * time.Minute)
		if s.ClearBans(s.now); s.Stats().Banned != 0 {
			t.Errorf("ahead by %v: the ban holds for longer than it was to", ahead)
		}
		if err := checkBook(s.Book); err != nil {
			t.Error(err)
		}
	}
}

// TestLateCallers wants a caller whose time is old not to be taken for a clock that was set back.
func TestLateCallers(t *testing.T) {
	s := newShelf(t)
	begin := time.Now()
	a := groupAddress(t, 1, 1)
	s.Add(a, peerstore.Source{Kind: "pex"}, begin)
	s.Next(begin.Add(time.Hour), peerstore.Query{})
	due := begin.Add(2 * time.Hour)
	s.Update(a.ID(), func(r *peerstore.Record) { r.NotBefore = due })
	s.Next(begin, peerstore.Query{})
	if r := s.get(a.ID()); !r.NotBefore.Equal(due) {
		t.Errorf("waits until %v, want %v", r.NotBefore, due)
	}
}

// TestRestoreCutsWaits wants no peer to wait for a wrong clock's time after a start, and none to be too old.
func TestRestoreCutsWaits(t *testing.T) {
	s := newShelf(t)
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	old := s.now.AddDate(-20, 0, 0)
	a := groupAddress(t, 1, 1)
	ok := s.Restore(peerstore.Record{ID: a.ID(), FirstSeen: old, NotBefore: far, Quarantined: far,
		Addresses: []peerstore.AddressRecord{{Address: a, FirstHeard: old, LastHeard: old, NotBefore: far,
			Source: peerstore.Source{Kind: peerstore.SourceConfig}}}}, s.now)
	if !ok {
		t.Fatal("not restored")
	}
	if at, ok := s.NextDue(s.now); !ok || at.After(s.now.Add(peerstore.LongestQuarantine)) {
		t.Errorf("due in %v, %v", at.Sub(s.now), ok)
	}
	r := s.get(a.ID())
	if r.NotBefore.After(s.now.Add(peerstore.LongestBackoff)) || r.Addresses[0].Source.Configured() {
		t.Errorf("%+v", r)
	}
	if s.Add(a, peerstore.Source{Kind: peerstore.SourceConfig},
		s.now); !s.get(a.ID()).Addresses[0].Source.Configured() {
		t.Error("it is configured again, and does not count so")
	}
	if !s.RestoreBan(peerstore.Ban{Target: peerstore.Target{ID: a.ID()}, Since: far, Until: far.Add(time.Hour)},
		s.now) {
		t.Fatal("the ban is not restored")
	}
	if _, banned := s.Banned(a.ID(), netip.Addr{}, s.now.Add(61*time.Minute)); banned {
		t.Error("the ban of a wrong clock holds until then")
	}
}
