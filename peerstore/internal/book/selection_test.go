package book

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// shelf is a book and the clock of a test of what it chooses.
type shelf struct {
	*Book
	t   *testing.T
	now time.Time
}

func newShelf(t *testing.T) *shelf {
	return &shelf{New(peerstore.Limits{}, 1), t, time.Unix(1_800_000_000, 0)}
}

// add learns peer n at an address, each told by another network.
func (s *shelf) add(n int, where string) transport.NodeID {
	s.t.Helper()
	a, err := transport.ParseAddress(fmt.Sprintf("%s@%s", testID(n), where))
	if err != nil {
		s.t.Fatal(err)
	}
	if !s.Add(a, peerstore.Source{Kind: "pex", IP: netip.AddrFrom4([4]byte{byte(11 + n%80), byte(n / 80), 1, 1})},
		s.now) {
		s.t.Fatalf("%s is not learned", a)
	}
	return a.ID()
}

// works says that a dial of a peer had success.
func (s *shelf) works(id transport.NodeID, at time.Time) {
	s.Update(id, func(r *peerstore.Record) {
		r.Failures, r.Addresses[0].Failures = 0, 0
		r.Addresses[0].LastDialed, r.Addresses[0].LastSuccess = at, at
	})
}

// fails says that a dial of a peer failed.
func (s *shelf) fails(id transport.NodeID) {
	s.Update(id, func(r *peerstore.Record) {
		r.Failures++
		r.Addresses[0].Failures++
		r.Addresses[0].LastDialed = s.now
	})
}

func (s *shelf) get(id transport.NodeID) peerstore.Record {
	s.t.Helper()
	r, ok := s.Get(id)
	if !ok {
		s.t.Fatalf("%s is not known", id)
	}
	return r
}

// share is the part of many draws that those of which is says so have.
func (s *shelf) share(q peerstore.Query, is func(peerstore.Record) bool) float64 {
	s.t.Helper()
	const draws = 4000
	n := 0
	for range draws {
		r, ok := s.Next(s.now, q)
		if !ok {
			s.t.Fatal("nobody is due")
		}
		if is(r) {
			n++
		}
	}
	return float64(n) / draws
}

func (s *shelf) within(what string, got, least, most float64) {
	s.t.Helper()
	if got < least || got > most {
		s.t.Errorf("%s: %.3f of the draws, want %.3f to %.3f", what, got, least, most)
	}
}

// Without a link nine of ten peers that are chosen have worked before, however many more there are that have not; with
// each link, up to eight, it is one less. Where one table has nobody, the other has all.
func TestNextTakesFewerTriedWithEachLink(t *testing.T) {
	s := newShelf(t)
	inTried := func(r peerstore.Record) bool { return r.InTried }
	for n := range 1000 {
		s.add(n, fmt.Sprintf("%d.%d.1.1:26656", 11+n%80, n/80))
	}
	s.within("tried, of none", s.share(peerstore.Query{}, inTried), 0, 0)
	for n := range 3 {
		s.works(testID(n*7), s.now)
	}
	for links := range 12 {
		want := 0.9 - 0.1*float64(min(links, 8))
		s.within(fmt.Sprintf("tried, of 3 beside 997, with %d links", links),
			s.share(peerstore.Query{Links: links}, inTried), want-0.04, want+0.04)
	}
	s.within("tried, when only new ones are asked for", s.share(peerstore.Query{Table: peerstore.New}, inTried), 0, 0)
	s.within("tried, when only those are asked for", s.share(peerstore.Query{Table: peerstore.Tried}, inTried), 1, 1)
	for n := range 1000 {
		s.works(testID(n), s.now)
	}
	s.within("tried, of all", s.share(peerstore.Query{}, inTried), 1, 1)
}

// Of two peers, of one network group or of two, the one is chosen about twice as often that failed less, worked more
// lately, or is better otherwise, and much more often if it is much better; but nobody never.
func TestNextWeighs(t *testing.T) {
	for _, c := range []struct {
		name        string
		make        func(s *shelf, better, worse transport.NodeID)
		least, most float64 // of the draws that the better one has
	}{
		{"nothing tells them apart", func(*shelf, transport.NodeID, transport.NodeID) {}, 0.46, 0.54},
		{"a failure", func(s *shelf, _, worse transport.NodeID) { s.fails(worse) }, 0.6, 0.72},
		{"four failures", func(s *shelf, _, worse transport.NodeID) {
			for range 4 {
				s.fails(worse)
			}
		}, 0.85, 0.98},
		{"success within a day", func(s *shelf, better, worse transport.NodeID) {
			s.works(better, s.now.Add(-time.Hour))
			s.works(worse, s.now.Add(-48*time.Hour))
		}, 0.6, 0.72},
		{"success within a week", func(s *shelf, better, worse transport.NodeID) {
			s.works(better, s.now.Add(-48*time.Hour))
			s.works(worse, s.now.Add(-9*24*time.Hour))
		}, 0.6, 0.72},
		{"success 20 days ago", func(s *shelf, better, worse transport.NodeID) {
			s.works(better, s.now.Add(-time.Hour))
			s.works(worse, s.now.Add(-20*24*time.Hour))
		}, 0.72, 0.85},
		{"last reported 20 days ago", func(s *shelf, _, worse transport.NodeID) {
			s.Update(worse, func(r *peerstore.Record) { r.Addresses[0].LastHeard = s.now.Add(-20 * 24 * time.Hour) })
		}, 0.6, 0.72},
		{"score", func(s *shelf, better, worse transport.NodeID) {
			s.works(better, s.now)
			s.works(worse, s.now)
			s.Update(worse, func(r *peerstore.Record) { r.Score = -scoreLevel })
		}, 0.6, 0.72},
		{"a score of -50", func(s *shelf, _, worse transport.NodeID) {
			s.Update(worse, func(r *peerstore.Record) { r.Score = -50 })
		}, 0.7, 0.85},
	} {
		for groups, where := range []string{"20.1.2.1:26656", "30.1.2.1:26656"} {
			t.Run(fmt.Sprint(c.name, ", ", 1+groups, " groups"), func(t *testing.T) {
				s := newShelf(t)
				better, worse := s.add(1, "20.1.1.1:26656"), s.add(2, where)
				c.make(s, better, worse)
				s.within("the better one", s.share(peerstore.Query{}, func(r peerstore.Record) bool {
					return r.ID == better
				}), c.least, c.most)
			})
		}
	}
	t.Run("odd ports", func(t *testing.T) {
		s := newShelf(t)
		usual, odd := s.add(1, "20.1.1.1:26656"), s.add(2, "30.1.2.1:22")
		is := func(r peerstore.Record) bool { return r.ID == odd }
		s.within("the odd port", s.share(peerstore.Query{}, is), 0, 0)
		s.SetBusy(usual, true)
		s.within("the odd port, alone", s.share(peerstore.Query{}, is), 1, 1)
		s.works(odd, s.now)
		s.SetBusy(usual, false)
		s.within("the odd port, that has worked", s.share(peerstore.Query{}, is), 0.86, 0.94)
	})
	t.Run("a private address", func(t *testing.T) {
		s := newShelf(t)
		a, err := transport.ParseAddress(string(testID(1)) + "@10.1.2.3:26656")
		if err != nil || !s.Add(a, peerstore.Source{Kind: "config"}, s.now) {
			t.Fatal(err)
		}
		s.within("the private one, alone", s.share(peerstore.Query{}, func(r peerstore.Record) bool {
			return r.ID == testID(1)
		}), 1, 1)
		s.add(2, "20.1.1.1:26656")
		s.within("the private one beside a public one", s.share(peerstore.Query{}, func(r peerstore.Record) bool {
			return r.ID == testID(1)
		}), 0, 0)
	})
}

// A network group that is to be avoided is taken only when no other is due.
func TestNextAvoidsGroups(t *testing.T) {
	s := newShelf(t)
	for n := range 500 {
		s.add(n, fmt.Sprintf("20.1.%d.%d:26656", n/250, 1+n%250))
	}
	other := s.add(1000, "30.1.1.1:26656")
	ip := netip.MustParseAddr("20.1.0.1")
	q := peerstore.Query{Avoid: func(g peerstore.Group) bool { return g == s.Groups().OfIP(ip) }}
	s.within("the other group", s.share(q, func(r peerstore.Record) bool { return r.ID == other }), 1, 1)
	s.SetBusy(other, true)
	s.within("the other group, when it has nobody", s.share(q, func(r peerstore.Record) bool { return r.ID == other }),
		0, 0)
}

// A tried peer whose place in a full bucket another one claims that has worked too is tested first. It keeps its place
// if it still answers; it loses it if it does not, or if nobody tests it in time; never just because somebody else
// came.
func TestTestBeforeEvict(t *testing.T) {
	// fill makes peers of one network group work until one of them has to claim a place.
	fill := func(t *testing.T) (s *shelf, challenger, incumbent transport.NodeID) {
		s = newShelf(t)
		for n := range 5000 {
			id := s.add(n, fmt.Sprintf("20.1.%d.%d:26656", n/250, 1+n%250))
			before := s.Stats().Tried
			s.works(id, s.now.Add(-time.Hour))
			if s.get(id).InTried {
				continue
			}
			if now := s.Stats().Tried; now != before || len(s.c.contests) != 1 {
				t.Fatalf("%d tried peers after %d, %d contests", now, before, len(s.c.contests))
			}
			r, ok := s.Feeler(s.now, peerstore.Query{})
			if !ok || !r.InTried || r.ID == id {
				t.Fatalf("to be tested: %+v, want a tried one", r)
			}
			if again, _ := s.Feeler(s.now,
				peerstore.Query{Skip: func(id transport.NodeID) bool { return id == r.ID }}); again.InTried {
				t.Fatalf("%s is to be tested too", again.ID)
			}
			return s, id, r.ID
		}
		t.Fatal("one network group has the whole tried table")
		return nil, "", ""
	}
	settled := func(s *shelf, challenger, incumbent transport.NodeID, won bool) {
		s.t.Helper()
		if c, i := s.get(challenger).InTried, s.get(incumbent).InTried; c != won || i == won || len(s.c.contests) != 0 {
			s.t.Errorf("the challenger is a tried one: %v, the one before: %v; %d contests are left", c, i,
				len(s.c.contests))
		}
		if r, ok := s.Feeler(s.now, peerstore.Query{}); ok && r.InTried {
			s.t.Errorf("%s is to be tested still", r.ID)
		}
	}
	t.Run("it answers", func(t *testing.T) {
		s, challenger, incumbent := fill(t)
		s.works(incumbent, s.now)
		settled(s, challenger, incumbent, false)
	})
	t.Run("it does not answer", func(t *testing.T) {
		s, challenger, incumbent := fill(t)
		s.fails(incumbent)
		settled(s, challenger, incumbent, true)
	})
	t.Run("it is not tested", func(t *testing.T) {
		s, challenger, incumbent := fill(t)
		s.now = s.now.Add(time.Duration(contestTime) - time.Second)
		s.Next(s.now, peerstore.Query{})
		if len(s.c.contests) != 1 {
			t.Fatal("it has not had its time")
		}
		s.now = s.now.Add(2 * time.Second)
		s.Next(s.now, peerstore.Query{})
		settled(s, challenger, incumbent, true)
	})
	t.Run("the challenger is forgotten", func(t *testing.T) {
		s, challenger, incumbent := fill(t)
		s.Remove(challenger)
		s.fails(incumbent)
		if len(s.c.contests) != 0 || !s.get(incumbent).InTried && s.Stats().Tried == 0 {
			t.Errorf("%d contests", len(s.c.contests))
		}
	})
}

// With nothing to contest, feelers go to the new table.
func TestFeelersGoToTheNewTable(t *testing.T) {
	s := newShelf(t)
	if _, ok := s.Feeler(s.now, peerstore.Query{}); ok {
		t.Fatal("a peer out of nothing")
	}
	s.works(s.add(1, "20.1.1.1:26656"), s.now)
	if _, ok := s.Feeler(s.now, peerstore.Query{}); ok {
		t.Fatal("a tried one that nobody contests")
	}
	fresh := s.add(2, "30.1.1.1:26656")
	for range 20 {
		if r, ok := s.Feeler(s.now, peerstore.Query{}); !ok || r.ID != fresh {
			t.Fatal(r.ID, ok)
		}
	}
}
