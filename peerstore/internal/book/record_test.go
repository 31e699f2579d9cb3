package book

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// TestLastSeen wants the book to forget a peer exactly when Limits.Expiry has passed since Record.LastSeen.
func TestLastSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := New(peerstore.Limits{Expiry: time.Hour}, 1)
		a := groupAddress(t, 1, 1)
		b.Add(a, peerstore.Source{Kind: "pex"}, t0)
		soon := func() time.Time { return t0.Add(time.Duration(r.IntN(7200)) * time.Second) }
		b.Update(a.ID(), func(rec *peerstore.Record) {
			for _, at := range []*time.Time{&rec.FirstSeen, &rec.LastConnected, &rec.LastDisconnected,
				&rec.Addresses[0].LastHeard, &rec.Addresses[0].LastSuccess, &rec.NotBefore} {
				if r.IntN(3) == 0 {
					*at = soon()
				}
			}
		})
		rec, _ := b.Get(a.ID())
		end := rec.LastSeen().Add(time.Hour)
		e := b.c.find(a.ID())
		for _, c := range []struct {
			now  time.Time
			want bool
		}{{end.Add(-1), false}, {end, true}, {end.Add(time.Hour), true}} {
			if b.c.now = Nano(c.now); b.c.expired(e) != c.want {
				t.Fatalf("at %v: %v, %+v", c.now, !c.want, rec)
			}
		}
	}
}
