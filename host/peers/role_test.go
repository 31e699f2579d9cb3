package peers

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A role that the operator gives at run time works as one of the configuration does, and outlives a restart.
func TestRolesAtRunTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a, b, c := lowID(1), lowID(2), highID(3)
		m := newPM(t, Config{MaxOutbound: 1, MaxInbound: 1, Anchors: -1, Private: []transport.NodeID{c}})
		setRole := func(id transport.NodeID, r Role) {
			t.Helper()
			if err := m.SetRole(id, r); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []transport.NodeID{"", pmSelf, b} { // no address of b is known
			if err := m.SetRole(id, Role{Trusted: true}); err == nil {
				t.Fatalf("%q is trusted", id)
			}
		}
		m.learn(a)
		m.dialUp(a)
		m.learn(b)
		m.noDial()
		m.store.Update(b, func(rec *peerstore.Record) { rec.Quarantined = time.Now().Add(time.Hour) })
		setRole(b, Role{Trusted: true})
		_, bLink := m.dialUp(b) // with no slot free, out of its quarantine
		if got := m.Counts(); got != (Counts{Outbound: 1, Trusted: 1}) {
			t.Fatalf("counts %+v", got)
		}
		m.up(c)
		_, err := m.accepted(highID(4))
		refused(t, err, muxer.CodeTooManyPeers, "peers.max_inbound")
		setRole(c, Role{Unconditional: true, Private: true}) // its link gives its slot back
		m.up(highID(4))
		if got := m.Counts(); got != (Counts{Outbound: 1, Trusted: 2, Inbound: 1}) {
			t.Fatalf("counts %+v", got)
		}
		setRole(a, Role{Private: true})
		if told := m.Advertise("", 10); len(told) != 1 || told[0].ID() != b {
			t.Fatalf("advertised %v", told)
		}
		m = m.restart(map[transport.NodeID]uint64{b: bLink})
		for id, want := range map[transport.NodeID]Role{a: {Private: true}, b: {Trusted: true},
			c: {Private: true}} { // the configuration says so of c
			st, _ := m.Status(id)
			rec, _ := m.store.Get(id)
			got := Role{st.Trusted, st.Unconditional, st.Private}
			if kept := (Role{rec.Trusted, rec.Unconditional, rec.Private}); got != want || kept != want {
				t.Fatalf("%s has the role %+v, %+v in the store, want %+v", id, got, kept, want)
			}
		}
		m.mustDial(b)
		setRole(b, Role{})
		m.fail(b, errUnreachable)
		if m = m.restart(nil); m.trusted[b] || m.record(b).Trusted {
			t.Fatal("still trusted")
		}
	})
}

// Add says why it refuses an address.
func TestAddSaysWhy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		friend, enemy := lowID(1), lowID(2)
		m := newPM(t, Config{Persistent: []transport.Address{addrOf(t, friend, 0)}})
		for _, id := range []transport.NodeID{friend, enemy} {
			if err := m.Ban(peerstore.Target{ID: id}, time.Time{}, "so it is"); err != nil {
				t.Fatal(err)
			}
		}
		for _, tc := range []struct {
			addr   transport.Address
			source string
			code   muxer.Code
			limit  string
		}{
			{mustAddress(t, "/ip4/1.2.3.4/tcp/1"), "pex", muxer.CodeWrongID, ""},
			{addrOf(t, pmSelf, 0), "pex", muxer.CodeSelf, ""},
			{addrOf(t, friend, 1), "pex", muxer.CodeBanned, ""},
			{addrOf(t, enemy, 1), "pex", muxer.CodeBanned, ""},
			{addrOf(t, enemy, 1), peerstore.SourceConfig, muxer.CodeBanned, ""},
		} {
			refused(t, m.Add(tc.addr, peerstore.Source{Kind: tc.source}), tc.code, tc.limit)
		}
		for range 2 { // known already is no refusal
			if err := m.Add(addrOf(t, lowID(3), 0), peerstore.Source{Kind: "pex"}); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		for i := 0; i < 5000 && err == nil; i++ {
			err = m.Add(addrOf(t, highID(i), 0), peerstore.Source{Kind: "pex", From: lowID(3)})
		}
		refused(t, err, muxer.CodeTooManyPeers, "peers.max_known")
	})
}
