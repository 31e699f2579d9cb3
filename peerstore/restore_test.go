package peerstore_test

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestRestoreAddresses wants addresses that cannot be taken over as they are to be sorted out as those that Ensure is given: too many, one twice, another node's, none.
func TestRestoreAddresses(t *testing.T) {
	now := time.Now()
	plain := func(node, place int) peerstore.SavedAddress {
		packed, ok := storetest.Address(node, place).Pack()
		if !ok {
			t.Fatal("not a plain address")
		}
		return peerstore.SavedAddress{Packed: packed, Source: storetest.Told(place), FirstHeard: now.UnixNano(), LastHeard: now.UnixNano() - int64(place), LastError: "x"}
	}
	other := func(text string) peerstore.SavedAddress {
		a, err := transport.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		one := plain(1, 1)
		one.Packed, one.Other = transport.Packed{}, a
		return one
	}
	id := storetest.ID(1)
	node, _ := id.Bytes()
	named, err := transport.ParseAddress("/ip4/192.0.2.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
	if err != nil {
		t.Fatal(err)
	}
	dns := "/dns/a.example/tcp/5/mconn/" + string(id)
	unpacked := plain(1, 4)
	unpacked.Other, unpacked.Packed = unpacked.Packed.Address(), transport.Packed{}
	for name, c := range map[string]struct {
		name      transport.NodeID
		addresses []peerstore.SavedAddress
		want      int
	}{
		"none":             {"", nil, 0},
		"in order":         {"", []peerstore.SavedAddress{plain(1, 1), other(dns), plain(1, 2)}, 3},
		"too many":         {"", []peerstore.SavedAddress{plain(1, 4), plain(1, 3), plain(1, 2), other(dns), plain(1, 1)}, 3},
		"twice":            {"", []peerstore.SavedAddress{plain(1, 2), other(dns), plain(1, 2)}, 2},
		"two names":        {"", []peerstore.SavedAddress{other(dns), other(dns)}, 1},
		"of another":       {"", []peerstore.SavedAddress{plain(2, 2), plain(1, 2)}, 1},
		"another's name":   {"", []peerstore.SavedAddress{other("/dns/a.example/tcp/5/mconn/" + string(storetest.ID(2)))}, 0},
		"not packed":       {"", []peerstore.SavedAddress{unpacked, plain(1, 4)}, 1},
		"nowhere":          {"", []peerstore.SavedAddress{{Source: storetest.Told(1)}, plain(1, 1)}, 1},
		"of a named node":  {named.ID(), []peerstore.SavedAddress{{Other: named, Source: storetest.Told(1), FirstHeard: now.UnixNano(), LastHeard: now.UnixNano()}}, 1},
		"not of that node": {named.ID(), []peerstore.SavedAddress{plain(1, 1)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := peerstore.Saved{Node: node, Name: c.name, Addresses: c.addresses, FirstSeen: now.UnixNano(), Score: 7, Height: 3, QuarantineReason: "y", Quarantined: now.UnixNano()}
			limits := peerstore.Limits{MaxAddresses: 3}
			got, want := peerstore.NewBook(limits, 1), peerstore.NewBook(limits, 1)
			r := got.Restorer(now)
			a := peerstore.Arrivals{Peers: []peerstore.Saved{s}}
			r.Prepare(&a)
			r.Restore(&a)
			r.End()
			given := s.Record()
			want.Ensure(given.ID, now, func(into *peerstore.Record) { *into = given })
			x, _ := got.Get(given.ID)
			y, ok := want.Get(given.ID)
			if !ok || len(x.Addresses) != c.want || !storetest.Equal(x, y) || !a.First[0] {
				t.Fatalf("restored\n%+v\ngiven to Ensure\n%+v", x, y)
			}
		})
	}
}
