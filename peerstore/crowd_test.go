package peerstore

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// crowdAddress is an address of node n in the network group 20.group.
func crowdAddress(t *testing.T, n, group int) transport.Address {
	t.Helper()
	a, err := transport.CometAddress(transport.NodeID(fmt.Sprintf("%040x", n)), fmt.Sprintf("20.%d.%d.%d", group, n>>8&255, n&255), 26656)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Whoever has nearly all addresses, in one group of eleven, is chosen about one time in eleven; without the countermeasure nearly always.
func TestNextTakesGroupsAlike(t *testing.T) {
	for _, off := range []bool{false, true} {
		limits := Limits{MaxPeers: 10_000}
		limits.Without.Crowds, limits.Without.Buckets, limits.Without.Quotas = off, true, true
		b := NewBook(limits, 1)
		now := time.Now()
		for n := range 1000 {
			b.Add(crowdAddress(t, n, 200), Source{Kind: "pex"}, now)
		}
		for n := range 10 {
			b.Add(crowdAddress(t, 1000+n, n), Source{Kind: "pex"}, now)
		}
		const picks = 2000
		his := 0
		for range picks {
			r, ok := b.Next(now, Query{})
			if !ok {
				t.Fatal("nobody")
			}
			if ip, _ := r.Addresses[0].Address.IP(); ip.As4()[1] == 200 {
				his++
			}
		}
		if share := float64(his) / picks; off != (share > 0.9) || !off && (share < 0.05 || share > 0.15) {
			t.Errorf("switched off %v: chosen in %.2f of the picks", off, share)
		}
	}
}

// The crowds hold those that may be dialed now, all of them and nobody else, whatever happens to peers.
func TestCrowdsAreConsistent(t *testing.T) {
	b := NewBook(Limits{MaxPeers: 500}, 1)
	random := rand.New(rand.NewPCG(1, 1))
	now := time.Now()
	for range 20_000 {
		now = now.Add(time.Duration(random.IntN(1000)) * time.Millisecond)
		n := random.IntN(1000)
		id := transport.NodeID(fmt.Sprintf("%040x", n))
		switch random.IntN(8) {
		case 0:
			b.Remove(id)
		case 1, 2:
			b.Update(id, func(r *Record) {
				r.Busy = !r.Busy
				if len(r.Addresses) > 0 && random.IntN(2) == 0 {
					r.Addresses[0].LastSuccess = now
				}
			})
		case 3:
			b.Update(id, func(r *Record) { r.NotBefore, r.Failures = now.Add(time.Minute), r.Failures+1 })
		case 4:
			b.Next(now, Query{})
		default:
			b.Add(crowdAddress(t, n, n%37), Source{Kind: "pex"}, now)
		}
	}
	if err := checkBook(b); err != nil {
		t.Fatal(err)
	}
	if b.Stats().Known == 0 {
		t.Fatal("nobody is left to check")
	}
}
