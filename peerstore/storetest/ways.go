package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// libp2pID is a node id that addresses of both wires name.
const libp2pID = "12D3KooWLRPJAA5o6g3sJ7j5EJcyDg8KW8qJ1YVdZ3SbYQ2VgVvD"

// testAdvertiseWays checks that a peer behind several wires or transports is advertised with one address of each, if it
// is as good as the first.
func testAdvertiseWays(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	of := func(where string) transport.Address {
		return parse(fmt.Sprintf("/ip4/11.2.3.4/%s/p2p/%s", where, libp2pID))
	}
	tcp, quic, other, local := of("tcp/4001"), of("udp/4001/quic-v1"), of("tcp/4002"),
		parse("/ip4/192.168.1.1/udp/4001/quic-v1/p2p/"+libp2pID)
	comet, err := parse("/ip4/11.2.3.4/tcp/26656").WithNode(string(tcp.ID()))
	if err != nil {
		t.Fatal(err)
	}
	told := func(name string, limit int, want ...transport.Address) {
		t.Helper()
		got := s.Advertise(limit, now, nil)
		for _, a := range got[min(1, len(got)):] {
			if a.Wire() == got[0].Wire() && a.Network() == got[0].Network() {
				t.Fatalf("%s: two of one way: %v", name, got)
			}
		}
		byText := func(a, b transport.Address) int { return len(a.String()) - len(b.String()) }
		slices.SortFunc(got, byText)
		slices.SortFunc(want, byText)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: told of %v, want %v", name, got, want)
		}
	}
	update := func(of transport.Address, change func(*peerstore.AddressRecord)) {
		s.Update(tcp.ID(), func(r *peerstore.Record) {
			for i := range r.Addresses {
				if r.Addresses[i].Address == of {
					change(&r.Addresses[i])
				}
			}
		})
	}
	s.Add(tcp, pex, now)
	told("one", 10, tcp)
	s.Add(quic, pex, now)
	s.Add(local, peerstore.Source{Kind: "pex"}, now)
	told("another transport, but not where only a local network leads", 10, tcp, quic)
	s.Add(comet, peerstore.Source{Kind: "inbound"}, now)
	told("another wire", 10, tcp, quic, comet)
	if got := s.Advertise(2, now, nil); len(got) != 2 {
		t.Fatal("told of", got, "with a limit of 2")
	}
	update(tcp, func(a *peerstore.AddressRecord) { a.LastSuccess = now })
	told("beside one that works only what works, or what the peer says itself", 10, tcp, comet)
	s.Add(other, peerstore.Source{Kind: "peer"}, now)
	update(quic, func(a *peerstore.AddressRecord) { a.LastSuccess = now.Add(-time.Hour) })
	told("not two of one way", 10, tcp, quic, comet)
	update(quic, func(a *peerstore.AddressRecord) { a.Failures = 1 })
	told("not one that failed lately", 10, tcp, comet)
	if got := s.Advertise(10, now, func(transport.Address) bool { return true }); len(got) != 0 {
		t.Fatal("told of who is left out:", got)
	}

	// Many such peers, and a limit that falls between the addresses of one: each peer comes once, with its addresses
	// together.
	const peers = 200
	for n := range peers {
		a := parse(fmt.Sprintf("%s@11.%d.3.4:26656", ID(n), n))
		b, err := parse(fmt.Sprintf("/ip4/11.%d.3.4/tcp/26656/tls", n)).WithNode(string(ID(n)))
		if err != nil {
			t.Fatal(err)
		}
		s.Add(a, Told(n), now)
		s.Add(b, Told(n), now)
	}
	for _, limit := range []int{1, 127, 128, 129, 201, 1000} {
		got := s.Advertise(limit, now, func(a transport.Address) bool { return a.Is(ID(7)) })
		seen := map[transport.NodeID]bool{}
		for i, a := range got {
			if seen[a.ID()] && got[i-1].ID() != a.ID() || a.ID() == ID(7) {
				t.Fatalf("of %d: %v at %d of %v", limit, a, i, got)
			}
			seen[a.ID()] = true
		}
		if want := min(limit, peers-1+2); len(got) != want {
			t.Fatal("told of", len(got), "want", want)
		}
	}
}

// testBusy checks that SetBusy is Update for one field.
func testBusy(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{MaxPeers: 1}), start()
	if s.SetBusy(ID(1), true) {
		t.Fatal("an unknown peer")
	}
	s.Add(Address(1, 1), pex, now)
	next := func() bool { _, ok := s.Next(now, peerstore.Query{}); return ok }
	for range 3 {
		for range 2 { // the second time changes nothing
			if !s.SetBusy(ID(1), true) {
				t.Fatal("unknown")
			}
			if r, _ := s.Get(ID(1)); !r.Busy || next() {
				t.Fatal("busy: ", r.Busy, ", and chosen:", next())
			}
		}
		if _, ok := s.NextDue(now); ok {
			t.Fatal("a busy peer becomes due")
		}
		s.SetBusy(ID(1), false)
		if r, _ := s.Get(ID(1)); r.Busy || !next() {
			t.Fatal("busy: ", r.Busy, ", and chosen:", next())
		}
	}
	s.SetBusy(ID(1), true)
	if s.Add(Address(2, 1), pex, now); s.Stats().Known != 1 {
		t.Fatal("known:", s.Stats().Known)
	}
	if _, ok := s.Get(ID(1)); !ok {
		t.Fatal("a busy peer made room")
	}
}

// testReserve checks that Query.Reserve is SetBusy in the same step, and that Query.Room is used again.
func testReserve(t *testing.T, f Factory) {
	s, now := f.make(t, peerstore.Limits{}), start()
	const peers = 60
	for n := range peers {
		s.Add(Address(n, 1), pex, now)
	}
	s.Update(ID(1), func(r *peerstore.Record) { r.Trusted = true })
	asked := 0
	yes := func(transport.NodeID) bool { asked++; return false }
	room := make([]peerstore.AddressRecord, 1)
	q := [...]peerstore.Query{{}, {Skip: yes}, {Avoid: func(peerstore.Group) bool { return true }},
		{Skip: yes, Room: room}, {Room: room}}
	seen := make(map[transport.NodeID]bool)
	for i := range peers {
		q := q[i%len(q)]
		q.Reserve = true
		r, ok := s.Next(now, q)
		if !ok || seen[r.ID] || !r.Busy || len(r.Addresses) != 1 || (r.ID == ID(1)) != (i == 0) {
			t.Fatalf("%d: %+v, %v", i, r, ok)
		}
		if (q.Room != nil) != (&r.Addresses[0] == &room[0]) {
			t.Fatalf("%d: the memory is another one", i)
		}
		seen[r.ID] = true
		if known, _ := s.Get(r.ID); !Equal(known, r) {
			t.Fatalf("%d: %+v, and is %+v", i, r, known)
		}
	}
	if r, ok := s.Next(now, peerstore.Query{Reserve: true}); ok || r.Busy {
		t.Fatalf("all are busy, but %+v", r)
	}
	s.SetBusy(ID(2), false)
	if r, ok := s.Next(now, peerstore.Query{}); !ok || r.ID != ID(2) || r.Busy {
		t.Fatalf("%+v, %v", r, ok)
	}
	// A peer that another caller reserves while Skip is asked is not chosen.
	r, ok := s.Next(now, peerstore.Query{Reserve: true, Skip: func(id transport.NodeID) bool {
		s.SetBusy(id, true)
		return false
	}})
	if ok {
		t.Fatalf("%+v is reserved twice", r)
	}
}
