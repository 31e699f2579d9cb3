package book

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestNothingToWrite wants an update to be written if and only if it changes what is persisted.
func TestNothingToWrite(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	b.TrackChanges()
	now := time.Now()
	writes := func() int {
		var c Changes
		b.TakeChanges(10, &c)
		return len(c.Peers)
	}
	id := testID(1)
	b.Ensure(id, now, func(*peerstore.Record) {})
	if n := writes(); n != 1 {
		t.Fatalf("%d were written of a new peer", n)
	}
	far, err := transport.CometAddress(id, "1.2.3.4", 26656)
	if err != nil {
		t.Fatal(err)
	}
	b.Update(id, func(r *peerstore.Record) {
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: far, FirstHeard: now, LastHeard: now})
	})
	if n := writes(); n != 1 {
		t.Fatalf("%d were written for an address", n)
	}
	for name, fn := range map[string]func(*peerstore.Record){
		"nothing":  func(*peerstore.Record) {},
		"busy":     func(r *peerstore.Record) { r.Busy = true },
		"not busy": func(r *peerstore.Record) { r.Busy = false },
		"a wish":   func(r *peerstore.Record) { r.InTried = true },
	} {
		if b.Update(id, fn); writes() != 0 {
			t.Errorf("%s was written", name)
		}
	}
	for name, fn := range map[string]func(*peerstore.Record){
		"score":         func(r *peerstore.Record) { r.Score++ },
		"scored":        func(r *peerstore.Record) { r.Scored = now },
		"height":        func(r *peerstore.Record) { r.Height++ },
		"failures":      func(r *peerstore.Record) { r.Failures++ },
		"not before":    func(r *peerstore.Record) { r.NotBefore = now },
		"first seen":    func(r *peerstore.Record) { r.FirstSeen = now.Add(time.Second) },
		"connected":     func(r *peerstore.Record) { r.LastConnected = now },
		"disconnected":  func(r *peerstore.Record) { r.LastDisconnected = now },
		"quarantined":   func(r *peerstore.Record) { r.Quarantined = now },
		"why":           func(r *peerstore.Record) { r.QuarantineReason = "why" },
		"trusted":       func(r *peerstore.Record) { r.Trusted = true },
		"unconditional": func(r *peerstore.Record) { r.Unconditional = true },
		"private":       func(r *peerstore.Record) { r.Private = true },
		"heard":         func(r *peerstore.Record) { r.Addresses[0].FirstHeard = now.Add(-time.Hour) },
		"heard last":    func(r *peerstore.Record) { r.Addresses[0].LastHeard = now.Add(time.Hour) },
		"dialed":        func(r *peerstore.Record) { r.Addresses[0].LastDialed = now },
		"failed":        func(r *peerstore.Record) { r.Addresses[0].Failures++ },
		"rests":         func(r *peerstore.Record) { r.Addresses[0].NotBefore = now },
		"error":         func(r *peerstore.Record) { r.Addresses[0].LastError = "refused" },
		"source":        func(r *peerstore.Record) { r.Addresses[0].Source.Kind = "pex" },
	} {
		if b.Update(id, fn); writes() != 1 {
			t.Errorf("%s was not written", name)
		}
	}
	if b.Update(id, func(r *peerstore.Record) { r.Addresses = nil }); writes() != 1 {
		t.Error("that the addresses are gone was not written")
	}
}

// TestFailuresThatTellNothing wants a failure like those before it not to be written, and any other to be.
func TestFailuresThatTellNothing(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	b.TrackChanges()
	a := groupAddress(t, 1, 1)
	b.Add(a, peerstore.Source{Kind: "pex"}, t0)
	fail := func(at time.Time, why string) (written bool) {
		b.Update(a.ID(), func(r *peerstore.Record) {
			r.Failures++
			r.Addresses[0].Failures++
			r.Addresses[0].LastDialed, r.Addresses[0].LastError = at, why
			r.NotBefore, r.Addresses[0].NotBefore = at.Add(time.Minute), at.Add(time.Minute)
		})
		var c Changes
		b.TakeChanges(10, &c)
		return len(c.Peers) > 0
	}
	for n := range 1000 {
		if written := fail(t0.Add(time.Duration(n)*time.Hour), "refused"); written != (n < deadAfter) {
			t.Fatalf("failure %d is written: %v", n+1, written)
		}
	}
	if r, _ := b.Get(a.ID()); r.Failures != 1000 || r.Addresses[0].Failures != 1000 {
		t.Fatalf("%+v", r)
	}
	if !fail(t0.Add(2000*time.Hour), "no route") {
		t.Error("another error is not written")
	}
}

// TestRemovalOutlastsFailedWrites wants a peer that is persisted to be removed from the disk, whatever fails in
// between.
func TestRemovalOutlastsFailedWrites(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	b.TrackChanges()
	now := time.Now()
	id := testID(1)
	b.Ensure(id, now, func(*peerstore.Record) {})
	var c Changes
	b.TakeChanges(10, &c)
	b.Remove(id)
	b.Ensure(id, now, func(*peerstore.Record) {})
	if b.TakeChanges(10, &c); len(c.Peers) != 1 || len(c.Removed) != 0 {
		t.Fatalf("known again: %+v", c)
	}
	b.PutBack(&c)
	b.Remove(id)
	if b.TakeChanges(10, &c); len(c.Peers) != 0 || len(c.Removed) != 1 {
		t.Fatalf("removed after a failed write: %+v", c)
	}

	// What was never written need not be removed, so that removals do not pile up while the disk fails.
	id = testID(2)
	b.Ensure(id, now, func(*peerstore.Record) {})
	b.TakeChanges(10, &c)
	b.PutBack(&c)
	b.Remove(id)
	if b.TakeChanges(10, &c); len(c.Peers) != 0 || len(c.Removed) != 0 {
		t.Fatalf("never written: %+v", c)
	}
}

// TestRemovalsAreTakenInParts wants the list of removals to be taken in bounded parts, too, and none to be lost.
func TestRemovalsAreTakenInParts(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	b.TrackChanges()
	all := func(fn func(n int)) {
		for n := range 1000 {
			fn(n)
		}
	}
	var c Changes
	all(func(n int) { b.Ensure(testID(n), t0, func(*peerstore.Record) {}) })
	b.TakeChanges(1000, &c)
	all(func(n int) { b.Remove(testID(n)) })
	disk := 1000
	for more := true; more; {
		if more = b.TakeChanges(100, &c); len(c.Removed)+len(c.Peers) > 100 {
			t.Fatalf("%d at once", len(c.Removed))
		}
		disk -= len(c.Removed)
	}
	if disk != 0 {
		t.Errorf("%d were not removed", disk)
	}
	// Some of a failed write are known again, others gone again.
	all(func(n int) { b.Ensure(testID(n), t0, func(*peerstore.Record) {}) })
	b.TakeChanges(1000, &c)
	all(func(n int) { b.Remove(testID(n)) })
	b.TakeChanges(100, &c)
	all(func(n int) { b.Ensure(testID(n), t0, func(*peerstore.Record) {}) })
	b.PutBack(&c)
	b.TakeChanges(300, &c)
	b.PutBack(&c)
	all(func(n int) { b.Remove(testID(n)) })
	removed := map[transport.NodeID]bool{}
	for more := true; more; {
		more = b.TakeChanges(100, &c)
		for _, id := range c.Removed {
			removed[id] = true
		}
	}
	if len(removed) != 1000 {
		t.Errorf("%d of 1000 were removed", len(removed))
	}
}

// TestDiskFollows wants a disk that is given the changes to end with what the book has, whatever writes fail.
func TestDiskFollows(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := New(peerstore.Limits{MaxPeers: 40}, 1+seed)
		b.TrackChanges()
		disk := make(map[transport.NodeID]uint64)
		var c Changes
		write := func() (more bool) {
			more = b.TakeChanges(1+random.IntN(8), &c)
			if random.IntN(3) == 0 {
				for range random.IntN(5) { // while the write fails
					b.Remove(testID(random.IntN(60)))
					b.Ensure(testID(random.IntN(60)), t0, func(*peerstore.Record) {})
				}
				b.PutBack(&c)
				return true
			}
			for _, id := range c.Removed {
				delete(disk, id)
			}
			for i := range c.Peers {
				disk[c.Peers[i].ID] = c.Peers[i].Height
			}
			return more
		}
		for n := range 3000 {
			id := testID(random.IntN(60))
			switch random.IntN(5) {
			case 0:
				b.Remove(id)
			case 1, 2:
				b.Ensure(id, t0, func(*peerstore.Record) {})
			case 3:
				b.Update(id, func(r *peerstore.Record) { r.Height = uint64(n) })
			case 4:
				write()
			}
		}
		for write() {
		}
		want := make(map[transport.NodeID]uint64)
		b.Range(func(r peerstore.Record) bool {
			want[r.ID] = r.Height
			return true
		})
		if !maps.Equal(disk, want) {
			t.Fatalf("seed %d: the disk has %d peers, the book %d", seed, len(disk), len(want))
		}
	}
}
