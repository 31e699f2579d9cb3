package badger

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// FuzzCheck wants no damage of a table or log of the database to end the check, and none of a table to pass it.
func FuzzCheck(f *testing.F) {
	path := filepath.Join(f.TempDir(), "peers")
	s := open(f, path, Options{})
	for n := range 5 {
		s.Add(storetest.Address(n, 1), storetest.Told(n), time.Now())
	}
	if err := s.Flush(f.Context()); err != nil {
		f.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(path, databaseName, "00001.mem"))
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(path, databaseName, "000001.sst"))
	if err != nil {
		f.Fatal(err)
	}
	if at, err := checkLog(log); at != 0 || err != nil {
		f.Fatal("the log itself:", at, err)
	}
	if err := checkTable(table); err != nil {
		f.Fatal("the table itself:", err)
	}
	for at := range table {
		table[at] ^= 1 << (at % 8)
		if checkTable(table) == nil {
			f.Fatal("changed at byte", at)
		}
		table[at] ^= 1 << (at % 8)
	}
	f.Add(true, table)
	f.Add(false, log[:2048])
	for _, b := range corpus.HugeLengths(log[:128]) {
		f.Add(false, b)
	}
	f.Fuzz(func(t *testing.T, isTable bool, data []byte) {
		if isTable {
			_ = checkTable(data)
		} else if at, _ := checkLog(data); at > len(data) {
			t.Fatal(at)
		}
	})
}
