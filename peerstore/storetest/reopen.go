package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// snapshot returns everything that a store tells of its peers.
func snapshot(s peerstore.Store) (map[transport.NodeID]peerstore.Record, peerstore.Stats) {
	all := make(map[transport.NodeID]peerstore.Record)
	s.Range(func(r peerstore.Record) bool {
		r.Busy = false // not persisted
		all[r.ID] = r
		return true
	})
	return all, s.Stats()
}

func testReopen(t *testing.T, f Factory) {
	limits := peerstore.Limits{MaxPeers: 10_000}
	s, now := f.make(t, limits), start()
	for n := range 3000 {
		s.Add(Address(n, 1+n%5), peerstore.Source{Kind: fmt.Sprint("kind", n%3), From: ID(n / 2)},
			now.Add(-time.Duration(n)*time.Second))
		s.Update(ID(n), func(r *peerstore.Record) {
			r.Trusted, r.Unconditional, r.Private, r.Busy = n%50 == 0, n%51 == 0, n%52 == 0, n%53 == 0
			r.Score, r.Scored, r.Height = int16(n%201-100), now, uint64(n)<<40
			r.Failures, r.NotBefore = uint32(n), now.Add(time.Duration(n)*time.Second)
			if n%7 == 0 {
				r.LastConnected, r.LastDisconnected = now.Add(-time.Hour), now.Add(-time.Minute)
				r.Quarantined, r.QuarantineReason = now.Add(time.Hour), "wrong network \"ü\""
				a := &r.Addresses[0]
				a.LastDialed, a.LastSuccess, a.Failures, a.NotBefore, a.LastError = now, now.Add(-1), 3,
					now.Add(time.Hour), "refused"
			}
		})
	}
	others := []string{ // other kinds of nodes and addresses
		"/dns/example.com/tcp/26656/mconn/" + string(ID(5)),
		"/ip6/2001:db9::1/udp/4001/quic-v1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
	}
	for _, text := range others {
		if !s.Add(parse(text), pex, now) {
			t.Fatal(text)
		}
	}
	for n := range 500 {
		s.Remove(ID(5000 + n))
		s.Remove(ID(6 * n))
	}
	for n := range 20 {
		b := peerstore.Ban{Target: peerstore.Target{ID: ID(9000 + n)}, Since: now, Reason: fmt.Sprint(n)}
		if n%2 == 0 {
			b.Until = now.Add(time.Hour)
		}
		if err := s.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ban(peerstore.Ban{Target: target(t, "192.0.2.0/24"), Since: now}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unban(peerstore.Target{ID: ID(9001)}); err != nil {
		t.Fatal(err)
	}
	s.SetMeta("a", []byte("1"))
	s.SetMeta("b", []byte{})
	s.SetMeta("c", []byte("x"))
	s.SetMeta("c", nil)
	s.SetMeta("big", bytes.Repeat([]byte("x"), peerstore.MaxMetaValue))

	want, stats := snapshot(s)
	for round := range 3 {
		if round == 1 { // Flush alone is enough, too
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		s = f.Reopen(t, s, time.Now())
		got, gotStats := snapshot(s)
		if gotStats != stats {
			t.Fatalf("%+v, want %+v", gotStats, stats)
		}
		for id, w := range want {
			if g := got[id]; !Equal(g, w) {
				t.Fatalf("%s is\n%+v, want\n%+v", id.Short(), g, w)
			}
		}
		if len(got) != len(want) || len(s.Bans(now)) != 20 {
			t.Fatal(len(got), len(want), len(s.Bans(now)))
		}
		if string(s.Meta("a")) != "1" || s.Meta("b") == nil || s.Meta("c") != nil ||
			len(s.Meta("big")) != peerstore.MaxMetaValue {
			t.Fatal("the small values differ")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal("a second Close:", err)
	}
}
