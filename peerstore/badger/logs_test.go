package badger

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// TestLongLogs wants logs to be read that were written with larger tables in memory, as earlier versions have them, or are full of what is small.
func TestLongLogs(t *testing.T) {
	const peers = 40_000
	limits := peerstore.Limits{MaxPeers: 2 * peers}
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{Limits: limits, memTable: 8 * memTable})
	now := time.Now()
	for n := range peers {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(120_000) {
		s.batch.del(keyOfPage(1<<40 + n)) // a key and nothing else
	}
	if _, _, err := s.writeBatch(0, true); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "peers")
	copyStore(t, path, killed)
	found, err := surveyFolder(killed, littleToLoad)
	if err != nil || found.longest < 2*memTable {
		t.Fatalf("%v: a log of %d bytes tells nothing", err, found.longest)
	}
	known := s.Stats().Known
	if got := open(t, killed, Options{Limits: limits}).Stats().Known; got != known {
		t.Fatalf("%d peers, want %d", got, known)
	}
}
