package book

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// TestTotals wants bans that have ended neither counted nor kept, however many end at once, and those that hold left
// alone.
func TestTotals(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	if got := peerstore.Totals(b, t0); got != (peerstore.Stats{}) {
		t.Fatalf("%+v", got)
	}
	for n := range 100 {
		ban := peerstore.Ban{Target: peerstore.Target{ID: testID(n)}, Since: t0}
		if n >= 10 {
			ban.Until = t0.Add(time.Minute)
		}
		if err := b.Ban(ban); err != nil {
			t.Fatal(err)
		}
	}
	if got := peerstore.Totals(b, t0); got.Banned != 100 {
		t.Fatalf("%+v", got)
	}
	later := t0.Add(time.Minute)
	if got := peerstore.Totals(b, later); got.Banned != 10 || b.Stats().Banned != 10 || len(b.Bans(later)) != 10 {
		t.Fatalf("%+v, then %+v", got, b.Stats())
	}
	for n := range 10 {
		if _, err := b.Unban(peerstore.Target{ID: testID(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := peerstore.Totals(b, later); got.Banned != 0 || b.Stats().Banned != 0 {
		t.Fatalf("%+v", got)
	}
}
