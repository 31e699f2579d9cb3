package badger

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

const peerID = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

// someRecord is a record with anything in it.
func someRecord(t testing.TB, random *rand.Rand) peerstore.Record {
	some := func() time.Time {
		switch random.IntN(4) {
		case 0:
			return time.Time{}
		case 1:
			return time.Unix(1<<62, 0) // for ever
		}
		return time.Unix(0, 1+random.Int64N(1<<61))
	}
	text := func() string { return []string{"", "refused", "é" + strings.Repeat("x", 200)}[random.IntN(3)] }
	ids := []transport.NodeID{storetest.ID(1), storetest.ID(0xabcdef), peerID}
	wheres := []string{
		"/ip4/1.2.3.4/tcp/5", "/ip4/255.1.0.254/tcp/65535", "/ip6/2001:db8::1/tcp/26656", "/dns/a.example/tcp/5",
		"/ip4/1.2.3.4/tcp/5/tls",
	}
	id := ids[random.IntN(len(ids))]
	r := peerstore.Record{
		ID: id, FirstSeen: some(), Scored: some(), LastConnected: some(), LastDisconnected: some(), NotBefore: some(),
		Quarantined: some(), QuarantineReason: text(), Score: int16(random.IntN(201) - 100),
		Height: random.Uint64() >> random.IntN(64), Failures: random.Uint32() >> random.IntN(32),
		InTried: random.IntN(2) == 0,
	}
	for _, i := range random.Perm(len(wheres))[:random.IntN(len(wheres)+1)] {
		wire := "/mconn/"
		if id == peerID {
			wire = "/p2p/"
		}
		a, err := transport.ParseAddress(wheres[i] + wire + string(id))
		if err != nil {
			t.Fatal(err)
		}
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{
			Address: a,
			Source: peerstore.Source{
				Kind: []string{"pex", "config", "x"}[random.IntN(3)],
				From: []transport.NodeID{"", ids[0], ids[2]}[random.IntN(3)],
				IP: []netip.Addr{{}, netip.MustParseAddr("1.2.3.4"),
					netip.MustParseAddr("2001:db8::5")}[random.IntN(3)],
			},
			FirstHeard: some(), LastHeard: some(), LastDialed: some(), LastSuccess: some(), NotBefore: some(),
			Failures: random.Uint32() >> random.IntN(32), LastError: text(),
		})
	}
	return r
}

// normal is a record as it comes back: times only reach so far.
func normal(r peerstore.Record) peerstore.Record {
	for _, at := range []*time.Time{&r.FirstSeen, &r.Scored, &r.LastConnected, &r.LastDisconnected, &r.NotBefore,
		&r.Quarantined} {
		*at = unstamp(stamp(*at))
	}
	for i := range r.Addresses {
		a := &r.Addresses[i]
		for _, at := range []*time.Time{&a.FirstHeard, &a.LastHeard, &a.LastDialed, &a.LastSuccess, &a.NotBefore} {
			*at = unstamp(stamp(*at))
		}
	}
	return r
}

// TestCodec wants records to come back as they were, flags apart.
func TestCodec(t *testing.T) {
	random := seeded(t)
	for range rounds(t, 3000) {
		r := someRecord(t, random)
		value, err := encodePeer(&r)
		if err != nil {
			t.Fatal(err)
		}
		got, bad, err := decodePeer(peerKeyOf(r.ID)[1:], value)
		if err != nil || bad > 0 || !storetest.Equal(got, normal(r)) {
			t.Fatalf("%v, %d bad addresses\n%+v, want\n%+v", err, bad, got, r)
		}
	}
	r := peerstore.Record{ID: storetest.ID(1), Trusted: true, Busy: true}
	for n := range 20_000 { // more than a value can hold
		r.Addresses = append(r.Addresses,
			peerstore.AddressRecord{Address: storetest.Address(1, 1+n), LastError: strings.Repeat("x", 128)})
	}
	value, err := encodePeer(&r)
	if err != nil || len(value) > maxValue {
		t.Fatal(err, len(value))
	}
	if got, _, err := decodePeer(peerKeyOf(r.ID)[1:], value); err != nil || len(got.Addresses) != 5000 || got.Trusted ||
		got.Busy {
		t.Fatalf("%v, %d addresses", err, len(got.Addresses))
	}
}

// FuzzPeer wants values that cannot be read refused, and what can be read to come out the same after it is written
// again.
func FuzzPeer(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		r := someRecord(f, random)
		value, err := encodePeer(&r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(peerKeyOf(r.ID)[1:], value)
	}
	f.Add([]byte{hexNode, 1}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, _, err := decodePeer(key, value)
		if err != nil {
			return
		}
		again, err := encodePeer(&r)
		if err != nil {
			t.Fatal(err)
		}
		r2, bad, err := decodePeer(appendNode(nil, r.ID), again)
		if err != nil || bad > 0 || !storetest.Equal(r, r2) {
			t.Fatalf("%v, %d bad addresses\n%+v\n%+v", err, bad, r, r2)
		}
	})
}

// FuzzOldPage wants no page of schema 3 to end the converter.
func FuzzOldPage(f *testing.F) {
	path := unpack(f, "schema3-killed")
	s, _, err := openAt(path, oldNow)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Add([]byte("\x0a\x04\x82\x01\x01\x00"))
	f.Add([]byte("\x1a\x05\x03\x08abc"))
	for _, b := range corpus.HugeLengths([]byte("\x0a\x04\x82\x01\x01\x00")) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		page, err := readOldPage(value)
		if err != nil {
			return
		}
		o := oldStore{to: s.db.NewWriteBatch(), seen: map[string]struct{}{}, flags: map[transport.NodeID]flags{}}
		defer o.to.Cancel()
		for _, p := range page.Peers {
			if err := o.peer(p.Node, p); err != nil {
				t.Fatal(err)
			}
		}
	})
}
