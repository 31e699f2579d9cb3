package peerstore

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testID(n int) transport.NodeID {
	var raw [20]byte
	raw[0], raw[1], raw[2], raw[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return transport.NodeID(hex.EncodeToString(raw[:]))
}

func testAddr(t testing.TB, n int) transport.Address {
	a, err := transport.ParseAddress(fmt.Sprintf("%s@%d.%d.%d.%d:26656", testID(n), 11+n>>24&0x3f, n>>16&255, n>>8&255, n&255))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNextPrefersTrustedThenRank(t *testing.T) {
	b := NewBook(Limits{}, 1)
	for n := range 10 {
		if !b.Add(testAddr(t, n), Source{Kind: "pex"}, t0) {
			t.Fatal("not new", n)
		}
	}
	b.Update(testID(3), func(r *Record) { r.Trusted = true; r.NotBefore = t0.Add(time.Minute) })
	b.Update(testID(4), func(r *Record) { r.Addresses[0].LastSuccess = t0 })
	b.Update(testID(5), func(r *Record) { r.Score = 200 })
	want := []int{5, 4}
	for _, n := range want {
		r, ok := b.Next(t0, Query{})
		if !ok || r.ID != testID(n) {
			t.Fatalf("got %v, want %d", r.ID, n)
		}
		b.Update(r.ID, func(r *Record) { r.Busy = true })
	}
	if due, ok := b.NextDue(t0); !ok || !due.Equal(t0.Add(time.Minute)) {
		t.Fatal(due, ok)
	}
	r, _ := b.Next(t0.Add(time.Minute), Query{})
	if r.ID != testID(3) {
		t.Fatal(r.ID)
	}
	skipped := 0
	if _, ok := b.Next(t0, Query{Skip: func(transport.NodeID) bool { skipped++; return true }}); ok || skipped != 7 {
		t.Fatal("skipped", skipped)
	}
}
