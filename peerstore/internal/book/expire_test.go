package book

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// TestHopeless wants peers of which nothing answers forgotten, and nobody else.
func TestHopeless(t *testing.T) {
	const hour, week = time.Hour, 7 * 24 * time.Hour
	end := t0.Add(3 * week)
	for _, c := range []struct {
		name     string
		failures uint32
		worked   time.Duration // before the end; 0: never
		change   func(*peerstore.Record)
		gone     bool
	}{
		{"never worked", 10, 0, nil, true},
		{"never worked, few failures", 9, 0, nil, false},
		{"worked, many failures", 19, 2 * week, nil, false},
		{"worked long ago", 20, week, nil, true},
		{"worked lately", 20, week - hour, nil, false},
		{"never worked, has linked to us", 19, 0, func(r *peerstore.Record) { r.LastConnected = end }, false},
		{"never worked, linked to us long ago", 20, 0, func(r *peerstore.Record) { r.LastConnected = t0 }, true},
		{"a trusted one", 100, 0, func(r *peerstore.Record) { r.Trusted = true }, false},
		{"an unconditional one", 100, 0, func(r *peerstore.Record) { r.Unconditional = true }, false},
		{"a private one", 100, 0, func(r *peerstore.Record) { r.Private = true }, false},
		{"a busy one", 100, 0, func(r *peerstore.Record) { r.Busy = true }, false},
		{"a configured one", 100, 0, func(r *peerstore.Record) { r.Addresses[0].Source.Kind = peerstore.SourceConfig },
			false},
		{"one with another address", 100, 0, func(r *peerstore.Record) {
			other := r.Addresses[0]
			other.Address, other.Failures = groupAddress(t, 1, 2), 0
			r.Addresses = append(r.Addresses, other)
		}, false},
		{"one with two such", 100, 0, func(r *peerstore.Record) {
			other := r.Addresses[0]
			other.Address = groupAddress(t, 1, 2)
			r.Addresses = append(r.Addresses, other)
		}, true},
		{"one without", 100, 0, func(r *peerstore.Record) { r.Addresses = nil }, false},
	} {
		b := New(peerstore.Limits{}, 1)
		a := groupAddress(t, 1, 1)
		b.Add(a, peerstore.Source{Kind: "pex"}, t0)
		b.Update(a.ID(), func(r *peerstore.Record) {
			r.Failures, r.Addresses[0].Failures = c.failures, c.failures
			if c.worked != 0 {
				r.Addresses[0].LastSuccess = end.Add(-c.worked)
			}
			if c.change != nil {
				c.change(r)
			}
		})
		for n := range 3 { // any call that brings the time looks at some
			b.Advertise(1, end.Add(time.Duration(n)*time.Second), nil)
		}
		if _, known := b.Get(a.ID()); known == c.gone {
			t.Errorf("%s: known %v", c.name, known)
		}
		if r, ok := b.Next(end.Add(hour), peerstore.Query{}); ok && c.gone {
			t.Errorf("%s: dialed, %+v", c.name, r)
		}
		if err := checkBook(b); err != nil {
			t.Error(err)
		}
	}
}
