package peers

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The life of an inbound link beside 40 others, for its decisions alone.
func BenchmarkInbound(b *testing.B) {
	m := newPM(b, Config{MaxInbound: 41})
	for i := range 40 {
		m.up(lowID(i))
	}
	id := highID(1)
	a := Arrival{ID: id, IP: netip.MustParseAddr("99.1.2.3")}
	reason := &DisconnectError{Code: muxer.CodeRemoteClosed}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.LinkID = uint64(1000 + i)
		if err := m.Arrived(accepted(a)); err != nil {
			b.Fatal(err)
		}
		m.establish(id, a.LinkID)
		m.Ready(id, a.LinkID, a.LinkID, nil)
		m.Disconnected(id, a.LinkID, reason)
	}
}

// A dial that fails, among 100,000 known peers.
func BenchmarkDialFails(b *testing.B) {
	m := newPM(b, Config{DialRate: -1})
	for i := range 100_000 {
		id := transport.NodeID(fmt.Sprintf("%040x", i+1))
		m.Add(mustAddress(b, fmt.Sprintf("/ip4/%d.%d.%d.1/tcp/26656/mconn/%s", 1+i%100, i>>8&255, i&255, id)),
			peerstore.Source{Kind: "pex"})
	}
	b.ReportAllocs()
	for b.Loop() {
		d, ok := m.TryDialNext()
		if !ok {
			b.Fatal("no dial")
		}
		m.DialFailed(d.ID, []DialFailure{{d.Addresses[0], errUnreachable}})
		m.store.Update(d.ID, func(r *peerstore.Record) { // so that nobody runs out
			r.Failures, r.NotBefore = 0, time.Time{}
			r.Addresses[0].Failures, r.Addresses[0].NotBefore = 0, time.Time{}
		})
	}
}
