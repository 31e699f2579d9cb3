package peerstore

import (
	"testing"
	"time"
)

// TestTotals wants bans that have ended neither counted nor kept, however many end at once, and those that hold left alone.
func TestTotals(t *testing.T) {
	b := NewBook(Limits{}, 1)
	if got := Totals(b, t0); got != (Stats{}) {
		t.Fatalf("%+v", got)
	}
	for n := range 100 {
		ban := Ban{Target: Target{ID: testID(n)}, Since: t0}
		if n >= 10 {
			ban.Until = t0.Add(time.Minute)
		}
		if err := b.Ban(ban); err != nil {
			t.Fatal(err)
		}
	}
	if got := Totals(b, t0); got.Banned != 100 {
		t.Fatalf("%+v", got)
	}
	later := t0.Add(time.Minute)
	if got := Totals(b, later); got.Banned != 10 || b.Stats().Banned != 10 || len(b.Bans(later)) != 10 {
		t.Fatalf("%+v, then %+v", got, b.Stats())
	}
	for n := range 10 {
		if _, err := b.Unban(Target{ID: testID(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := Totals(b, later); got.Banned != 0 || b.banned.Load() != 0 {
		t.Fatalf("%+v", got)
	}
}
