package book

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestConcurrentInvariants uses a crowded book from many goroutines at once, as a manager, services and a writer do:
// run it with -race. Between any two calls all indexes agree; trusted peers stay; nobody is handed out before his time;
// and what the writer has at the end is the book.
func TestConcurrentInvariants(t *testing.T) {
	const workers, peers = 6, 600
	steps := longtest.Count(t, longtest.Ops, 12_000) / workers
	b := New(peerstore.Limits{MaxPeers: 400, MaxAddresses: 3}, 1)
	b.TrackChanges()
	var clock atomic.Int64 // shared, so that a check knows what time the store had at least
	clock.Store(t0.UnixNano())
	address := func(n int) transport.Address {
		a, err := transport.ParseAddress(fmt.Sprintf("%s@%d.1.%d.%d:26656", testID(n), 11+n%3, n>>8, n&255))
		if err != nil {
			panic(err)
		}
		return a
	}
	for n := range 5 { // these nobody lets go
		b.Ensure(testID(n), t0, func(r *peerstore.Record) { r.Trusted = true })
	}
	var all, helpers sync.WaitGroup
	done := make(chan struct{})
	helpers.Go(func() { // the checker
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := checkBook(b); err != nil {
				t.Error(err)
				return
			}
		}
	})
	disk := map[transport.NodeID]peerstore.Record{}
	write := func(r *rand.Rand) {
		var c Changes
		for more := true; more; {
			more = b.TakeChanges(1+r.IntN(64), &c)
			if r.IntN(10) == 0 {
				b.PutBack(&c)
				more = true
				continue
			}
			for _, id := range c.Removed {
				delete(disk, id)
			}
			for _, p := range c.Peers { // whose memory is used again
				p.Addresses = slices.Clone(p.Addresses)
				disk[p.ID] = p
			}
		}
	}
	helpers.Go(func() {
		r := rand.New(rand.NewPCG(1, 9))
		for {
			select {
			case <-done:
				return
			default:
				write(r)
			}
		}
	})
	for w := range workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 8))
			for range steps {
				now := time.Unix(0, clock.Add(int64(r.IntN(500))*int64(time.Millisecond)))
				n := 5 + r.IntN(peers-5)
				switch k := r.IntN(100); {
				case k < 35:
					b.Add(address(n),
						peerstore.Source{Kind: "pex", IP: netip.AddrFrom4([4]byte{20, byte(n % 3), 1, 1})}, now)
				case k < 65:
					q := peerstore.Query{Reserve: true}
					if r.IntN(2) == 0 {
						q.Skip = func(id transport.NodeID) bool { return id == testID(n) }
					}
					got, ok := peerstore.Record{}, false
					if k < 40 {
						got, ok = b.Feeler(now, q)
					} else {
						got, ok = b.Next(now, q)
					}
					if latest := time.Unix(0, clock.Load()); !ok || got.NotBefore.After(latest) ||
						got.Quarantined.After(latest) {
						if ok {
							t.Errorf("%+v is not to be dialed at %v", got, latest)
						}
						continue
					}
					b.Update(got.ID, func(p *peerstore.Record) {
						p.Busy = false
						p.NotBefore = now.Add(time.Duration(r.IntN(600)) * time.Second)
						if len(p.Addresses) > 0 && r.IntN(3) > 0 {
							p.Addresses[0].LastSuccess = now
						} else {
							p.Failures++
						}
						p.Score += 40
					})
				case k < 72:
					b.Update(testID(n), func(p *peerstore.Record) { p.Score -= 60; p.Unconditional = r.IntN(10) == 0 })
				case k < 76:
					b.Remove(testID(n))
				case k < 80:
					_ = b.Ban(peerstore.Ban{Target: peerstore.Target{ID: testID(n)}, Until: now.Add(time.Minute)})
				case k < 82:
					net := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + n%3), 1, 0, byte(n)}), 28)
					_ = b.Ban(peerstore.Ban{Target: peerstore.Target{Prefix: net}, Until: now.Add(time.Minute)})
				case k < 84:
					_, _ = b.Unban(peerstore.Target{ID: testID(n)})
				case k < 90:
					b.Advertise(50, now, nil)
				case k < 94:
					b.Range(func(p peerstore.Record) bool {
						if p.Score < peerstore.MinScore || p.Score > peerstore.MaxScore {
							t.Errorf("a score of %d", p.Score)
						}
						return r.IntN(50) > 0
					})
				default:
					b.NextDue(now)
					b.Banned(testID(n), netip.Addr{}, now)
				}
			}
		})
	}
	all.Wait()
	close(done)
	helpers.Wait()
	write(rand.New(rand.NewPCG(1, 10)))
	if err := checkBook(b); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if r, ok := b.Get(testID(n)); !ok || !r.Trusted {
			t.Errorf("the trusted peer %d is lost", n)
		}
	}
	met := 0
	b.Range(func(r peerstore.Record) bool {
		met++
		d, ok := disk[r.ID]
		alike := d.Failures == r.Failures && d.NotBefore.Equal(r.NotBefore)
		again := d.Failures >= deadAfter && r.Failures > d.Failures // which is not written
		if !ok || d.Score != r.Score || len(d.Addresses) != len(r.Addresses) || !alike && !again {
			t.Errorf("on disk is %+v, in memory %+v", d, r)
		}
		return true
	})
	if met != len(disk) {
		t.Errorf("%d peers on disk, %d in memory", len(disk), met)
	}
}
