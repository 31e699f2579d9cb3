package badger

import (
	"archive/tar"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// oldStores are stores that earlier programs wrote, closed and killed, all with the content of schemas.txt, and the
// keys of their buckets. One of schema 3 has removed the pages that did not count any more.
var oldStores = map[string]string{
	"schema1":        "3d21d31df7c12a9e44e09a3026fb8b9e",
	"schema2":        "ee4ad44f7fc9671c20a393bd0f17b08f",
	"schema3":        "e0becf7ca0c633511badebb6f582de8c",
	"schema3-passes": "b9d821d4750f0946ceab06bbddecab56",
}

// oldNow is when they were written.
var oldNow = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)

// unpack makes a folder of an archive in testdata.
func unpack(t testing.TB, name string) (path string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "peers")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return path
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(path, h.Name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// describe returns all that a store holds, in the form of schemas.txt.
func describe(s peerstore.Store, now time.Time) string {
	var lines []string
	at := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.UnixNano()
	}
	s.Range(func(r peerstore.Record) bool {
		text := fmt.Sprintf("peer %s first=%d flags=%v,%v,%v score=%d@%d height=%d connected=%d,%d failures=%d "+
			"notbefore=%d "+
			"quarantined=%d %q", r.ID, at(r.FirstSeen), r.Trusted, r.Unconditional, r.Private, r.Score, at(r.Scored),
			r.Height,
			at(r.LastConnected), at(r.LastDisconnected), r.Failures, at(r.NotBefore), at(r.Quarantined),
			r.QuarantineReason)
		for _, a := range r.Addresses {
			text += fmt.Sprintf(" [%s from %s %s %s heard=%d,%d dialed=%d,%d failures=%d notbefore=%d %q]", a.Address,
				a.Source.Kind, a.Source.From, a.Source.IP, at(a.FirstHeard), at(a.LastHeard), at(a.LastDialed),
				at(a.LastSuccess), a.Failures, at(a.NotBefore), a.LastError)
		}
		lines = append(lines, text)
		return true
	})
	for _, b := range s.Bans(now) {
		lines = append(lines, fmt.Sprintf("ban %s %d %d %q", b.Target, at(b.Since), at(b.Until), b.Reason))
	}
	for _, key := range []string{"anchors", "empty", "gone"} {
		if v := s.Meta(key); v != nil {
			lines = append(lines, fmt.Sprintf("value %s %x", key, v))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func converted(t testing.TB) string {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", "schemas.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(want)
}

// differences returns the lines that only one of two texts has.
func differences(got, want string) (all []string) {
	for _, l := range strings.Split(got, "\n") {
		if !strings.Contains(want, l) {
			all = append(all, "got  "+l)
		}
	}
	for _, l := range strings.Split(want, "\n") {
		if !strings.Contains(got, l) {
			all = append(all, "want "+l)
		}
	}
	return all
}

func openAt(path string, now time.Time) (*Store, *logged, error) {
	log, logger := newLog()
	s, err := Open(path, Options{Logger: logger, now: func() time.Time { return now }})
	return s, log, err
}

// TestConvert wants all that stores of earlier schemas hold, said once, and their files out of the way.
func TestConvert(t *testing.T) {
	for name, key := range oldStores {
		for _, end := range []string{"-closed", "-killed"} {
			path := unpack(t, name+end)
			s, log, err := openAt(path, oldNow)
			if err != nil {
				t.Fatal(name, end, err)
			}
			if diff := differences(describe(s, oldNow), converted(t)); diff != nil {
				t.Errorf("%s%s:\n%s", name, end, strings.Join(diff, "\n"))
			}
			if got := s.BucketKey(); hex.EncodeToString(got[:]) != key {
				t.Errorf("%s%s: the key of the buckets is %x, want %s", name, end, got, key)
			}
			said := fmt.Sprintf("from=%s to=4 peers=37 bans=7 values=3 flagged_peers=4", name[6:7])
			if strings.Count(log.text(), "was converted") != 1 || !strings.Contains(log.text(), said) ||
				strings.Contains(log.text(), "level=ERROR") {
				t.Errorf("%s%s: want %q\n%s", name, end, said, log.text())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if names := listing(t, path); names != "00001.mem OWNER before-schema-4 db keep.log keep.log.old " {
				t.Errorf("%s%s: %s", name, end, names)
			}
			if s, log, err = openAt(path, oldNow); err != nil || log.text() != "" {
				t.Fatal(err, log.text())
			}
			if diff := differences(describe(s, oldNow), converted(t)); diff != nil {
				t.Errorf("%s%s, opened again:\n%s", name, end, strings.Join(diff, "\n"))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestConvertKilled wants a conversion to be done again, or finished, that a kill ended at any point.
func TestConvertKilled(t *testing.T) {
	old := unpack(t, "schema3-killed")
	whole := filepath.Join(t.TempDir(), "peers")
	copyStore(t, old, whole)
	s, _, err := openAt(whole, oldNow)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		remove []string // of the old files and the new store together
		again  bool     // the conversion begins again
	}{
		"in the database":           {[]string{keepName, keepOld, "db/MANIFEST"}, true},
		"before the keep log":       {[]string{keepName, keepOld}, true},
		"in the keep log":           {[]string{keepOld}, false},
		"before the files moved":    {nil, false},
		"while the files moved":     {[]string{"COPY", "MANIFEST"}, false},
		"before the last one moved": {[]string{"COPY", "MANIFEST", "HEAD", "LOCK", "000001.sst"}, false},
	} {
		path := filepath.Join(t.TempDir(), "peers")
		copyStore(t, whole, path)
		if err := os.RemoveAll(filepath.Join(path, oldFolder)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(path, fenceName)); err != nil { // an old log has its name
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(path, ownerName)); err != nil {
			t.Fatal(err)
		}
		copyStore(t, old, path)
		for _, f := range c.remove {
			if err := os.RemoveAll(filepath.Join(path, f)); err != nil {
				t.Fatal(err)
			}
		}
		s, log, err := openAt(path, oldNow)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := differences(describe(s, oldNow), converted(t)); diff != nil {
			t.Errorf("%s:\n%s", name, strings.Join(diff, "\n"))
		}
		if again := strings.Contains(log.text(), "was converted"); again != c.again {
			t.Errorf("%s: converted again: %v\n%s", name, again, log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConvertDamaged wants of a damaged store of an earlier schema what its other half holds, and the damage said.
func TestConvertDamaged(t *testing.T) {
	kept := func(text string) (lines string) {
		for l := range strings.Lines(text) {
			if !strings.HasPrefix(l, "peer") {
				lines += l
			}
		}
		return lines
	}
	flagged := func(s *Store) (n int) {
		s.Range(func(r peerstore.Record) bool {
			if flagsOf(&r) != 0 {
				n++
			}
			return true
		})
		return n
	}
	for name, c := range map[string]struct {
		damage func(path string, data []byte) error
		file   string
		peers  int
	}{
		"the database is cut": {func(path string,
			data []byte) error {
			return os.WriteFile(path, data[:20], 0o600)
		}, "MANIFEST", 4},
		"a table has gone":  {func(path string, _ []byte) error { return os.Remove(path) }, "000001.sst", 4},
		"the copy has gone": {func(path string, _ []byte) error { return os.Remove(path) }, "COPY", 37},
		"a line of it is damaged": {func(path string, data []byte) error {
			data[200] ^= 1
			return os.WriteFile(path, data, 0o600)
		}, "COPY", 37},
		"it is cut": {func(path string, data []byte) error {
			return os.WriteFile(path, data[:len(data)/2], 0o600)
		}, "COPY", 37},
	} {
		path := unpack(t, "schema3-killed")
		data, err := os.ReadFile(filepath.Join(path, c.file))
		if err == nil {
			err = c.damage(filepath.Join(path, c.file), data)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, log, err := openAt(path, oldNow)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := differences(kept(describe(s, oldNow)), kept(converted(t))); diff != nil || flagged(s) != 4 {
			t.Errorf("%s: %d peers have flags\n%s", name, flagged(s), strings.Join(diff, "\n"))
		}
		if lost := s.Stats().Known < 37; s.Stats().Known != c.peers ||
			lost != strings.Contains(log.text(), "what was damaged is lost") {
			t.Errorf("%s: %+v\n%s", name, s.Stats(), log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
