package peerstore

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLastSeen wants the book to forget a peer exactly when Limits.Expiry has passed since Record.LastSeen.
func TestLastSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := NewBook(Limits{Expiry: time.Hour}, 1)
		a := crowdAddress(t, 1, 1)
		b.Add(a, Source{Kind: "pex"}, t0)
		soon := func() time.Time { return t0.Add(time.Duration(r.IntN(7200)) * time.Second) }
		b.Update(a.ID(), func(rec *Record) {
			for _, at := range []*time.Time{&rec.FirstSeen, &rec.LastConnected, &rec.LastDisconnected, &rec.Addresses[0].LastHeard, &rec.Addresses[0].LastSuccess, &rec.NotBefore} {
				if r.IntN(3) == 0 {
					*at = soon()
				}
			}
		})
		rec, _ := b.Get(a.ID())
		end := rec.LastSeen().Add(time.Hour)
		_, e := b.find(a.ID())
		for _, c := range []struct {
			now  time.Time
			want bool
		}{{end.Add(-1), false}, {end, true}, {end.Add(time.Hour), true}} {
			if b.now = nano(c.now); b.expired(e) != c.want {
				t.Fatalf("at %v: %v, %+v", c.now, !c.want, rec)
			}
		}
	}
}
