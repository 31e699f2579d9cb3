package book

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestGossip lets strangers tell false addresses of all peers at random, while their true ones fail for long and work
// now and then. What is configured stays, and so does the address that worked last; a flood of other peers displaces
// neither; and once the true address works, false ones that have failed are gone.
func TestGossip(t *testing.T) {
	ops := longtest.Count(t, longtest.Ops, 40_000)
	r := rand.New(rand.NewPCG(1, 7))
	b := New(peerstore.Limits{MaxPeers: 2000}, 1)
	now := t0
	const victims = 9 // trusted, bootstrap and learned ones in turn
	isTrue := make([]transport.Address, victims)
	for n := range victims {
		isTrue[n] = mustParse(t, fmt.Sprintf("%s@%d.1.1.1:26656", testID(n), 40+n))
		source := peerstore.Source{Kind: "pex"}
		if n%3 < 2 {
			source.Kind = []string{peerstore.SourceConfig, peerstore.SourceStatic}[n%2]
		}
		if !b.Add(isTrue[n], source, now) {
			t.Fatal("not learned")
		}
		b.Update(testID(n), func(rec *peerstore.Record) {
			if rec.Trusted = n%3 == 0; n%3 == 2 {
				rec.Addresses[0].LastSuccess = now
			}
		})
	}
	stranger := func() peerstore.Source {
		return peerstore.Source{Kind: "pex", From: testID(1<<16 + r.IntN(1000)),
			IP: netip.AddrFrom4([4]byte{byte(60 + r.IntN(50)), byte(r.IntN(256)), 1, 1})}
	}
	gone := 0
	for step := range ops {
		now = now.Add(time.Duration(r.IntN(20)) * time.Second)
		n := r.IntN(victims)
		id := testID(n)
		switch k := r.IntN(10); {
		case k < 4: // a false address of a victim
			a := mustParse(t, fmt.Sprintf("%s@%d.%d.2.2:26656", id, 110+r.IntN(90), r.IntN(256)))
			b.Add(a, stranger(), now)
		case k < 6: // one of the flood
			a := mustParse(t, fmt.Sprintf("%s@%d.%d.%d.3:26656", testID(1<<20+r.IntN(1<<16)), 11+r.IntN(20),
				r.IntN(256), r.IntN(256)))
			b.Add(a, stranger(), now)
		case k < 9: // all addresses of a victim fail
			b.Update(id, func(rec *peerstore.Record) {
				rec.Failures++
				for i := range rec.Addresses {
					rec.Addresses[i].Failures++
					rec.Addresses[i].LastDialed = now
				}
			})
		case r.IntN(20) == 0: // the true one works
			had := 0
			b.Update(id, func(rec *peerstore.Record) {
				had, rec.Failures = len(rec.Addresses), 0
				for i := range rec.Addresses {
					if a := &rec.Addresses[i]; a.Address == isTrue[n] {
						a.LastDialed, a.LastSuccess, a.Failures = now, now, 0
					}
				}
			})
			rec, _ := b.Get(id)
			gone += had - len(rec.Addresses)
			for _, a := range rec.Addresses {
				if a.Address != isTrue[n] && a.Failures >= deadAfter {
					t.Fatalf("step %d: %+v stays", step, a)
				}
			}
		}
		for n := range victims {
			rec, known := b.Get(testID(n))
			at := slices.IndexFunc(rec.Addresses,
				func(a peerstore.AddressRecord) bool { return a.Address == isTrue[n] })
			if !known || at < 0 || n%3 < 2 && !rec.Addresses[at].Source.Configured() {
				t.Fatalf("step %d: victim %d has lost its address: %+v", step, n, rec)
			}
		}
	}
	if s := b.Stats(); s.Known < 1500 || gone == 0 {
		t.Fatalf("%+v, %d false addresses are gone: the test tests nothing", s, gone)
	}
	if err := checkBook(b); err != nil {
		t.Error(err)
	}
}
