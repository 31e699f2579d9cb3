package book

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestRestoreAddresses wants restored addresses to be sorted out as those that Ensure is given: too many, one twice,
// another node's, none.
func TestRestoreAddresses(t *testing.T) {
	now := time.Now()
	known := func(a transport.Address, place int) peerstore.AddressRecord {
		return peerstore.AddressRecord{
			Address: a, Source: storetest.Told(place), FirstHeard: now, LastHeard: now.Add(-time.Duration(place)),
			LastError: "x",
		}
	}
	plain := func(node, place int) peerstore.AddressRecord { return known(storetest.Address(node, place), place) }
	other := func(text string) peerstore.AddressRecord { return known(mustParse(t, text), 1) }
	id := storetest.ID(1)
	dns := "/dns/a.example/tcp/5/mconn/" + string(id)
	named := other("/ip4/192.0.2.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
	for name, c := range map[string]struct {
		id        transport.NodeID
		addresses []peerstore.AddressRecord
		want      int
	}{
		"none":     {id, nil, 0},
		"in order": {id, []peerstore.AddressRecord{plain(1, 1), other(dns), plain(1, 2)}, 3},
		"too many": {id,
			[]peerstore.AddressRecord{plain(1, 4), plain(1, 3), plain(1, 2), other(dns), plain(1, 1)}, 3},
		"twice":      {id, []peerstore.AddressRecord{plain(1, 2), other(dns), plain(1, 2)}, 2},
		"two names":  {id, []peerstore.AddressRecord{other(dns), other(dns)}, 1},
		"of another": {id, []peerstore.AddressRecord{plain(2, 2), plain(1, 2)}, 1},
		"another's name": {id,
			[]peerstore.AddressRecord{other("/dns/a.example/tcp/5/mconn/" + string(storetest.ID(2)))}, 0},
		"nowhere":          {id, []peerstore.AddressRecord{{Source: storetest.Told(1)}, plain(1, 1)}, 1},
		"of a named node":  {named.Address.ID(), []peerstore.AddressRecord{named}, 1},
		"not of that node": {named.Address.ID(), []peerstore.AddressRecord{plain(1, 1)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			given := peerstore.Record{
				ID: c.id, Addresses: c.addresses, FirstSeen: now, Score: 7, Height: 3, QuarantineReason: "y",
				Quarantined: now,
			}
			limits := peerstore.Limits{MaxAddresses: 3}
			got, want := New(limits, 1), New(limits, 1)
			restored := got.Restore(given, now)
			want.Ensure(given.ID, now, func(into *peerstore.Record) { *into = given })
			x, _ := got.Get(given.ID)
			y, ok := want.Get(given.ID)
			if !ok || !restored || len(x.Addresses) != c.want || !storetest.Equal(x, y) {
				t.Fatalf("restored\n%+v\ngiven to Ensure\n%+v", x, y)
			}
		})
	}
}
