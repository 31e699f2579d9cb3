package book

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestAdvertiseRemoves wants Advertise to leave a peer alone that has just lost its place to another.
func TestAdvertiseRemoves(t *testing.T) {
	address := func(n int) transport.Address {
		a, err := transport.CometAddress(testID(n), fmt.Sprintf("1.%d.%d.%d", 2+n%2, n>>8, n&255), 26656)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for seed := range uint64(8) {
		b := New(peerstore.Limits{MaxPeers: 1000}, 1+seed)
		var known []transport.NodeID
		for n := range 1000 { // in two full buckets
			if b.Add(address(n), peerstore.Source{Kind: "pex"}, t0) {
				known = append(known, testID(n))
			}
		}
		mover := known[0]
		for _, id := range known[1:] {
			b.SetBusy(id, true)
		}
		b.Update(mover, func(r *peerstore.Record) { // to another bucket, where all are busy
			a, err := transport.CometAddress(mover, "1.3.99.1", 26656)
			if err != nil {
				t.Fatal(err)
			}
			r.Addresses[0].Address = a
		})
		for _, id := range known {
			b.SetBusy(id, false)
		}
		if err := b.Ban(peerstore.Ban{Target: peerstore.IPTarget(netip.MustParseAddr("1.3.99.1"))}); err != nil {
			t.Fatal(err)
		}
		b.Advertise(5000, t0.Add(time.Second), nil)
		if err := checkBook(b); err != nil {
			t.Fatal(seed, err)
		}
	}
}
