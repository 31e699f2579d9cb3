package badger

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// TestSetAside wants damaged stores set aside whole, and all that can be read in the new one.
func TestSetAside(t *testing.T) {
	whole, peers, bans := damagedStore(t)
	edit := func(name string, fn func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, fn(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(at float64) func([]byte) []byte {
		return func(b []byte) []byte {
			used := len(bytes.TrimRight(b, "\x00"))
			b[int(float64(used)*at)] ^= 1
			return b
		}
	}
	for _, c := range []struct {
		name   string
		damage func(*testing.T, string)
		lost   int // peers, at most
	}{
		{"manifest damaged", edit("MANIFEST", flip(0)), 0},
		{"manifest cut after its beginning", edit("MANIFEST", func(b []byte) []byte { return b[:8] }), 0},
		{"manifest removed", remove("MANIFEST"), 0},
		{"a table's block damaged", edit("000001.sst", flip(0.3)), chunk},
		{"a table's index damaged", edit("000001.sst", flip(0.999)), 0},
		{"a table's index cut off", edit("000001.sst", func(b []byte) []byte { return b[:len(b)-100] }), 0},
		{"a table cut in the middle", edit("000001.sst", func(b []byte) []byte { return b[:len(b)/2] }), 3 * chunk},
		{"a table removed", remove("000002.sst"), 1000},
		{"a log's header damaged", edit("00001.mem", flip(0)), 0},
		{"an entry of a log damaged", edit("00001.mem", flip(0.5)), chunk},
		{"a log cut short", edit("00001.mem", func(b []byte) []byte { return b[:10] }), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers")
			copyStore(t, whole, path)
			c.damage(t, path)
			log, logger := newLog()
			s := open(t, path, Options{Logger: logger})
			st := s.Stats()
			if st.Known < peers-c.lost || st.Banned < bans-10 || c.lost == 0 && st.Banned != bans {
				t.Errorf("%+v is left of %d peers and %d bans", st, peers, bans)
			}
			aside, _ := filepath.Glob(path + ".corrupt-*")
			if len(aside) != 1 || !strings.Contains(log.text(), aside[0]) || strings.Count(log.text(), "level=ERROR") != 1 {
				t.Errorf("set aside as %v; the log:\n%s", aside, log.text())
			}
			if _, err := os.Stat(filepath.Join(aside[0], "HEAD")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSetAsideWithin is for a folder that cannot be renamed.
func TestSetAsideWithin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	s.Add(storetest.Address(1, 1), peerstore.Source{}, time.Now())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	within, err := s.setAsideWithin("now")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(within, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	log, logger := newLog()
	if n := open(t, path, Options{Logger: logger}).Stats().Known; n != 0 || log.text() != "" {
		t.Fatal(n, log.text())
	}
}
