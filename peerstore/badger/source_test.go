package badger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// TestSources wants what is read of a store's files to be what the database has, wherever it is: in tables, in a log, written twice, removed or ended.
func TestSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	now := time.Now()
	for round := range 3 {
		s := open(t, path, Options{floor: 10, least: 1})
		for n := range 40 {
			s.Add(storetest.Address(round*20+n, 1), peerstore.Source{}, now)
			s.Ensure(storetest.ID(n), now, func(r *peerstore.Record) { r.Height++ })
			if err := s.Flush(t.Context()); n%8 == 0 && err != nil {
				t.Fatal(err)
			}
		}
		for n := range 4 {
			if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(100 + n + round)}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Unban(peerstore.Target{ID: storetest.ID(100 + round)}); err != nil {
			t.Fatal(err)
		}
		putUntil(t, s, nameKey(banKey, "ended"), nil, 1)
		if round < 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		found, err := surveyFolder(path, littleToLoad)
		if err != nil || found.entries == nil || found.version != s.db.MaxVersion() || len(found.tables) < 2 || len(found.logs) == 0 {
			t.Fatalf("%v: %+v", err, found)
		}
		for _, in := range append(spans(true), letter(pageKey), letter(metaKey), span{[]byte{0}, nil}, span{keyOfPage(2), keyOfPage(s.page)}) {
			read := func(each func(span, func(key, value []byte) error) error) (all []string) {
				if err := each(in, func(key, value []byte) error { all = append(all, fmt.Sprintf("%x %x", key, value)); return nil }); err != nil {
					t.Fatal(err)
				}
				return all
			}
			files, db := read(found.entries.each), read(database{s.db}.each)
			if !slices.Equal(files, db) {
				t.Errorf("%x: %d in the files, %d in the database", in, len(files), len(db))
			}
			if in.to == nil {
				continue
			}
			slices.Reverse(files)
			if a, b := read(found.entries.back), read(database{s.db}.back); !slices.Equal(files, a) || !slices.Equal(files, b) {
				t.Errorf("%x backwards: %d in the files, %d in the database, want %d", in, len(a), len(b), len(files))
			}
		}
		for _, key := range [][]byte{{totalsKey}, {versionKey}, keyOfPage(s.page), keyOfPage(s.page + 1)} {
			a, _ := found.entries.get(key)
			b, err := database{s.db}.get(key)
			if err != nil || string(a) != string(b) || (a == nil) != (b == nil) {
				t.Errorf("%x: %x in the files, %x in the database, %v", key, a, b, err)
			}
		}
	}
}

// TestNothingToWrite wants a start and an end between which nothing has changed to leave the files that hold anything as they are.
func TestNothingToWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	for n := range 40 {
		s.Add(storetest.Address(n, 1), peerstore.Source{}, time.Now())
	}
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(100)}}); err != nil {
		t.Fatal(err)
	}
	files := func() (all []string) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		list, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			switch f.Name() {
			case "000001.vlog": // made anew each time, and empty
				continue
			}
			data, err := os.ReadFile(filepath.Join(path, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s %x", f.Name(), data))
		}
		return all
	}
	before := files()
	for range 3 {
		s = open(t, path, Options{})
		if st := s.Stats(); st.Known != 40 || st.Banned != 1 {
			t.Fatalf("%+v", st)
		}
		if after := files(); !slices.Equal(before, after) {
			t.Fatalf("%.100q became %.100q", before, after)
		}
	}
	s = open(t, path, Options{}) // what is written then goes on from there
	s.Add(storetest.Address(41, 1), peerstore.Source{}, time.Now())
	files()
	if s = open(t, path, Options{}); s.Stats().Known != 41 {
		t.Fatalf("%+v", s.Stats())
	}
}
