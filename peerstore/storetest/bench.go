package storetest

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// MillionEnv names the environment variable that, when set, adds a million peers to the sizes of Bench.
const MillionEnv = "SWITCHYARD_BENCH_MILLION"

// Sizes are the numbers of peers that benchmarks run at.
func Sizes() []int {
	sizes := []int{1_000, 10_000, 100_000}
	if os.Getenv(MillionEnv) != "" {
		sizes = append(sizes, 1_000_000)
	}
	return sizes
}

// Bench measures a store at each size: learning a peer, choosing one and failing to reach it, advertising 100, and the
// memory a peer.
func Bench(b *testing.B, f Factory) {
	now := time.Now()
	for _, size := range Sizes() {
		limits := peerstore.Limits{MaxPeers: 2*size + 1}
		addrs := make([]transport.Address, size)
		for n := range addrs {
			addrs[n] = Address(n, 1)
		}
		fill := func(b *testing.B) peerstore.Store {
			s := f.make(b, limits)
			for n, a := range addrs {
				s.Add(a, Told(n), now)
			}
			return s
		}
		b.Run(fmt.Sprintf("Add/%d", size), func(b *testing.B) {
			s := fill(b)
			fresh := make([]transport.Address, min(b.N, size)) // of peers that are not known yet
			for n := range fresh {
				fresh[n] = Address(size+n, 1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				if n > 0 && n%size == 0 { // the book has doubled: start over
					b.StopTimer()
					s = fill(b)
					b.StartTimer()
				}
				s.Add(fresh[n%size], Told(size+n%size), now)
			}
		})
		b.Run(fmt.Sprintf("Full/%d", size), func(b *testing.B) { // the worst one goes for each that comes
			s := f.make(b, peerstore.Limits{MaxPeers: size})
			for n, a := range addrs {
				s.Add(a, Told(n), now)
			}
			fresh := make([]transport.Address, min(b.N, size))
			for n := range fresh {
				fresh[n] = Address(size+n, 1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				s.Add(fresh[n%size], Told(size+n%size), now)
			}
		})
		b.Run(fmt.Sprintf("Next/%d", size), func(b *testing.B) {
			s := fill(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := s.Next(now, peerstore.Query{}); !ok {
					b.Fatal("nobody")
				}
			}
		})
		b.Run(fmt.Sprintf("NextFail/%d", size), func(b *testing.B) {
			s := fill(b)
			b.ReportAllocs()
			for at := now; b.Loop(); at = at.Add(time.Microsecond) {
				r, ok := s.Next(at, peerstore.Query{})
				if !ok {
					at = at.Add(time.Second)
					continue
				}
				s.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
				s.Update(r.ID, func(r *peerstore.Record) {
					r.Busy = false
					r.Failures++
					r.Addresses[0].Failures++
					r.Addresses[0].LastDialed = at
					r.Addresses[0].NotBefore = at.Add(time.Duration(size) * time.Microsecond)
				})
			}
		})
		b.Run(fmt.Sprintf("Advertise100/%d", size), func(b *testing.B) {
			s := fill(b)
			b.ReportAllocs()
			for b.Loop() {
				if got := s.Advertise(100, now, nil); len(got) != 100 {
					b.Fatal(len(got))
				}
			}
		})
		b.Run(fmt.Sprintf("Memory/%d", size), func(b *testing.B) {
			s := f.make(b, limits)
			for range b.N {
				before := heap()
				for n := range size { // the texts of the addresses count, too
					s.Add(Address(n, 1), Told(n), now)
				}
				b.ReportMetric(float64(heap()-before)/float64(size), "B/peer")
				runtime.KeepAlive(s)
				b.StopTimer()
				s = f.make(b, limits)
				b.StartTimer()
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
