package badger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// harm is one way to damage a file.
type harm struct {
	name string
	do   func(path string, data []byte) error
	lost int // of the peers in it, at most; -1: all that it holds
}

// harms are the ways to damage a file of which so many bytes are used: it ends at each place where something begins or ends, and a bit changes where each byte matters and
// in between.
func harms(used int) []harm {
	write := func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	all := []harm{
		{"removed", func(path string, _ []byte) error { return os.Remove(path) }, -1},
		{"twice as long", func(path string, data []byte) error { return write(path, append(data, data...)) }, -1},
		{"garbage behind it", func(path string, data []byte) error {
			return write(path, append(data, bytes.Repeat([]byte("garbage"), 99)...))
		}, -1},
		{"all zeros", func(path string, data []byte) error { return write(path, make([]byte, len(data))) }, -1},
		{"a folder", func(path string, _ []byte) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}, -1},
		{"a link to itself", func(path string, _ []byte) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink(path, path)
		}, -1},
	}
	for _, n := range []int{0, 1, 4, 7, 8, 12, 16, 19, 20, 21, 27, 28, used / 4, used / 2, 3 * used / 4, used - 1000, used - 100, used - 8, used - 4, used - 1, used} {
		if 0 <= n && n <= used {
			all = append(all, harm{fmt.Sprintf("cut at %d of %d", n, used), func(path string, data []byte) error { return write(path, data[:n]) }, -1})
		}
	}
	places := []int{used / 8, used / 4, used / 3, used / 2, 2 * used / 3, 3 * used / 4, 7 * used / 8}
	for n := range 30 {
		places = append(places, n, used-1-n)
	}
	for _, at := range places {
		if 0 <= at && at < used {
			all = append(all, harm{fmt.Sprintf("bit %d flipped at %d of %d", at%8, at, used), func(path string, data []byte) error {
				data[at] ^= 1 << (at % 8)
				return write(path, data)
			}, chunk})
		}
	}
	return all
}

// TestDamageEverywhere damages each file of a store in each way: all of them in a long run, some in a short one. The store opens, loses no more than the peers in the damaged
// piece (and of these none that has a flag), says so, and works.
func TestDamageEverywhere(t *testing.T) {
	whole, peers, bans := damagedStore(t)
	files, err := os.ReadDir(whole)
	if err != nil {
		t.Fatal(err)
	}
	random := seeded(t)
	share := 12 // of the cases one
	if os.Getenv(longtest.Rounds) != "" {
		share = 1
	}
	base, done := t.TempDir(), 0
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(whole, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range harms(len(bytes.TrimRight(data, "\x00"))) {
			if random.IntN(share) > 0 {
				continue
			}
			dir := filepath.Join(base, fmt.Sprint(done))
			path := filepath.Join(dir, "peers")
			copyStore(t, whole, path)
			if err := h.do(filepath.Join(path, f.Name()), slices.Clone(data)); err != nil {
				t.Fatal(err)
			}
			most := 0 // files that hold neither peers nor bans cost none
			switch filepath.Ext(f.Name()) {
			case ".mem":
				most = h.lost
			case ".sst":
				most = -1
			}
			if err := survives(t, path, peers, bans, most); err != nil {
				t.Errorf("%s: %s: %v", f.Name(), h.name, err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			done++
		}
	}
	t.Logf("%d ways to damage %d files", done, len(files))
}

// survives opens a damaged store that had so many peers and bans and may have lost so many of these peers (-1: many), and then opens it again.
func survives(t *testing.T, path string, peers, bans, most int) error {
	t.Helper()
	log, logger := newLog()
	s, err := Open(path, Options{Logger: logger})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log.text())
	}
	defer s.Close()
	st := s.Stats()
	lost := peers - st.Known
	switch err := holdsAll(s, peers, bans); {
	case err != nil:
		return fmt.Errorf("%w\n%s", err, log.text())
	case st.Known > peers || st.Banned != bans || most >= 0 && lost > most:
		return fmt.Errorf("%+v is left of %d peers and %d bans\n%s", st, peers, bans, log.text())
	case lost > 0 && !strings.Contains(log.text(), "missing_peers") && !strings.Contains(log.text(), "cannot be told"):
		return fmt.Errorf("%+v is left, and the log does not say so:\n%s", st, log.text())
	}
	now := time.Now()
	s.Add(storetest.Address(200_000, 1), storetest.Told(1), now)
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(300_000)}}); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	log, logger = newLog()
	s = open(t, path, Options{Logger: logger})
	if again := s.Stats(); again.Known != st.Known+1 || again.Banned != st.Banned+1 || log.text() != "" {
		return fmt.Errorf("then %+v, now %+v\n%s", st, again, log.text())
	}
	return s.Close()
}
