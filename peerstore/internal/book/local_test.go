package book

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestLocalNetwork wants a network of many nodes on one machine to be learned as a whole, from one of them.
func TestLocalNetwork(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	teller := peerstore.Source{Kind: "pex", From: testID(1), IP: netip.MustParseAddr("127.0.0.1")}
	const nodes = 500
	for n := range nodes {
		if a := mustParse(t, fmt.Sprintf("%s@127.0.0.1:%d", testID(n), 20_000+n)); !b.Add(a, teller, t0) {
			t.Fatal("not learned:", a)
		}
	}
	if s := b.Stats(); s.Known != nodes {
		t.Fatalf("%+v", s)
	}
}

func mustParse(t *testing.T, text string) transport.Address {
	t.Helper()
	a, err := transport.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestForeign wants private addresses only from where they have a meaning.
func TestForeign(t *testing.T) {
	const public, private, loopback = "9.1.1.1", "10.1.1.1", "127.0.0.1"
	for n, c := range []struct {
		host, teller string
		want         bool
	}{
		{public, public, true}, {public, private, true}, {public, loopback, true}, {public, "", true},
		{private, public, false}, {private, private, true}, {private, loopback, true}, {private, "", true},
		{loopback, public, false}, {loopback, private, false}, {loopback, loopback, true}, {loopback, "", true},
		{"a.local", public, false}, {"a.example", public, true}, {"192.0.2.1", public, false},
	} {
		b := New(peerstore.Limits{}, 1)
		ip, _ := netip.ParseAddr(c.teller)
		a := mustParse(t, fmt.Sprintf("%s@%s:%d", testID(n), c.host, 26656))
		if got := b.Add(a, peerstore.Source{Kind: "pex", From: testID(99), IP: ip}, t0); got != c.want {
			t.Errorf("%s told from %q is learned: %v", a, c.teller, got)
		}
	}
}

// TestShares wants a source group and an address group to fill only their shares of the tables.
func TestShares(t *testing.T) {
	b := New(peerstore.Limits{}, 1)
	total := newPlaces * peerstore.DefaultMaxPeers
	// One source group that makes up addresses of all networks.
	for n := range 60_000 {
		a := mustParse(t, fmt.Sprintf("%s@%d.%d.%d.1:26656", testID(n), 11+n%80, n>>8&255, n&255))
		b.Add(a, peerstore.Source{Kind: "pex", From: testID(1<<20 + n%500),
			IP: netip.AddrFrom4([4]byte{9, 1, byte(n >> 8), byte(n)})}, t0)
	}
	if got, most := b.Stats().Known, total/sourceShare+bucketSize; got > most || got < most/2 {
		t.Errorf("one source group fills %d places, want at most %d", got, most)
	}
	// One address group, told by one source group.
	b = New(peerstore.Limits{}, 1)
	for n := range 5_000 {
		b.Add(mustParse(t, fmt.Sprintf("%s@11.1.%d.%d:26656", testID(n), n>>8, n&255)),
			peerstore.Source{Kind: "pex", IP: netip.MustParseAddr("9.1.1.1")}, t0)
	}
	if got := b.Stats().Known; got != bucketSize {
		t.Errorf("one address group of one source group fills %d places, want %d", got, bucketSize)
	}
	// One address group, all of whose peers work, told by everybody.
	b = New(peerstore.Limits{}, 1)
	for n := range 30_000 {
		id := testID(n)
		b.Add(mustParse(t, fmt.Sprintf("%s@11.1.%d.%d:26656", id, n>>8, n&255)),
			peerstore.Source{Kind: "pex", IP: netip.AddrFrom4([4]byte{byte(12 + n%100), byte(n), 1, 1})}, t0)
		b.Update(id, func(r *peerstore.Record) { r.Addresses[0].LastSuccess = t0 })
	}
	most := (peerstore.DefaultMaxPeers/triedPlaces+bucketSize)/groupShare + bucketSize
	if got := b.Stats().Tried; got > most || got < most/2 {
		t.Errorf("one address group fills %d places of the tried table, want at most %d", got, most)
	}
	if err := checkBook(b); err != nil {
		t.Error(err)
	}
}
