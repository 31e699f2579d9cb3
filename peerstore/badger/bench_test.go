package badger

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

func benchLimits(size int) peerstore.Limits { return peerstore.Limits{MaxPeers: 2 * size} }

func benchFill(b *testing.B, s *Store, size int) {
	now := time.Now()
	for n := range size {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
	}
}

// BenchmarkWriteBehind is how long it takes until a book full of new peers is on disk.
func BenchmarkWriteBehind(b *testing.B) {
	for _, size := range storetest.Sizes() {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := open(b, filepath.Join(b.TempDir(), "peers"), Options{Limits: benchLimits(size)})
				benchFill(b, s, size)
				b.StartTimer()
				if err := s.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "peers/s")
		})
	}
}

// BenchmarkOpen is how long it takes to open a store and load all of it.
func BenchmarkOpen(b *testing.B) {
	for _, size := range storetest.Sizes() {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "peers")
			s := open(b, path, Options{Limits: benchLimits(size)})
			benchFill(b, s, size)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := Open(path, Options{Limits: benchLimits(size)})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if n := s.Stats().Known; n != size {
					b.Fatal(n)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkBan is a ban that waits for the disk.
func BenchmarkBan(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "peers"), Options{})
	n := 0
	for b.Loop() {
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(n % 100_000)}}); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
