package badger

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// copyLines makes a second copy: a beginning with the values, and changes.
func copyLines(number uint64, values [][2]string, changes ...[2]string) []byte {
	b := appendLine(nil, number, opBegin, fmt.Append(nil, len(values)))
	for _, v := range values {
		b = appendLine(b, number, opPut, []byte(v[0]), []byte(v[1]))
	}
	for _, v := range changes {
		number++
		if v[1] == "" {
			b = appendLine(b, number, opDel, []byte(v[0]))
		} else {
			b = appendLine(b, number, opPut, []byte(v[0]), []byte(v[1]))
		}
	}
	return b
}

func has(c *copied, t peerstore.Target) bool {
	_, ok := c.values[string(nameKey(banKey, t.String()))]
	return ok
}

func TestParseCopy(t *testing.T) {
	begin := copyLines(7, [][2]string{{"ba", "1"}, {"mb", "2"}})
	whole := copyLines(7, [][2]string{{"ba", "1"}, {"mb", "2"}}, [2]string{"bc", "3"}, [2]string{"ba", ""}, [2]string{"mb", "4"})
	lines := bytes.SplitAfter(whole, []byte("\n"))
	without := func(n int) []byte {
		var b []byte
		for i, l := range lines {
			if i != n {
				b = append(b, l...)
			}
		}
		return b
	}
	flipped := bytes.Clone(whole)
	flipped[len(begin)+20] ^= 1
	for name, c := range map[string]struct {
		data   []byte
		values map[string]string
		number uint64
		damage string
	}{
		"whole":                 {whole, map[string]string{"mb": "4", "bc": "3"}, 10, ""},
		"nothing since":         {begin, map[string]string{"ba": "1", "mb": "2"}, 7, ""},
		"torn":                  {whole[:len(whole)-3], map[string]string{"mb": "2", "bc": "3"}, 9, ""},
		"garbage behind":        {append(bytes.Clone(whole), "garbage\n\x00more"...), map[string]string{"mb": "4", "bc": "3"}, 10, ""},
		"last lines gone":       {without(5), map[string]string{"mb": "2", "bc": "3"}, 9, ""},
		"a line gone":           {without(3), map[string]string{"mb": "4"}, 10, "damaged before"},
		"of the beginning":      {without(2), map[string]string{"mb": "4", "bc": "3"}, 10, "damaged before"},
		"no beginning":          {without(0), map[string]string{"mb": "4", "bc": "3"}, 10, "damaged before"},
		"a bit":                 {flipped, map[string]string{"mb": "4"}, 10, "damaged before"},
		"cut in the beginning":  {begin[:len(begin)-1], map[string]string{"ba": "1"}, 7, "the beginning"},
		"empty":                 {nil, map[string]string{}, 0, "the beginning"},
		"zeros":                 {make([]byte, 500), map[string]string{}, 0, "the beginning"},
		"twice":                 {append(bytes.Clone(whole), whole...), map[string]string{"mb": "4", "bc": "3"}, 10, "damaged before"},
		"another one behind it": {append(bytes.Clone(begin), whole...), map[string]string{"mb": "4", "bc": "3"}, 10, "damaged before"},
	} {
		got := parseCopy(c.data)
		values := make(map[string]string)
		for k, v := range got.values {
			values[k] = string(v)
		}
		damage := fmt.Sprint(got.damage)
		if got.damage == nil {
			damage = ""
		}
		if !maps.Equal(values, c.values) || got.number != c.number || !strings.HasPrefix(damage, c.damage) || (c.damage == "") != (damage == "") {
			t.Errorf("%s: %q, line %d, %q; want %q, line %d, %q", name, values, got.number, damage, c.values, c.number, c.damage)
		}
	}
}

// FuzzParseCopy wants what is read to come out the same after it is written again.
func FuzzParseCopy(f *testing.F) {
	f.Add(copyLines(7, [][2]string{{"ba", "1"}, {"mb", "2"}}, [2]string{"bc", "3"}, [2]string{"ba", ""}))
	f.Add(append(copyLines(1, [][2]string{{"ba", "1"}}), "garbage\n"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := parseCopy(data)
		if c.size > int64(len(data)) {
			t.Fatal(c.size)
		}
		if c.damage != nil {
			return
		}
		cut := parseCopy(data[:c.size])
		if cut.damage != nil || cut.number != c.number || cut.size != c.size || !maps.EqualFunc(cut.values, c.values, bytes.Equal) {
			t.Fatalf("%+v, cut off where it ends well %+v", c, cut)
		}
	})
}

// TestSecondIsWrittenAnew wants the file to stay small however often things change, and to hold what there is in the end.
func TestSecondIsWrittenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	most := int64(0)
	for n := range 200 {
		s.SetMeta("anchors", bytes.Repeat([]byte{byte(n)}, 10_000))
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(n)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unban(peerstore.Target{ID: storetest.ID(n - 10)}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(path, secondName))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	if most > 2*secondRoom {
		t.Errorf("it had %d bytes", most)
	}
	c, err := readCopy(path)
	if err != nil || c.damage != nil || len(c.values) != 12 { // ten bans, the anchors, the key that places peers
		t.Errorf("%v %+v", err, c)
	}
}

// TestLifted wants a ban that was lifted to stay so, although the database has lost that.
func TestLifted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	target := peerstore.Target{ID: storetest.ID(1)}
	if err := s.Ban(peerstore.Ban{Target: target}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // the ban is in a table
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if _, err := s.Unban(target); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "killed")
	copyStore(t, path, killed)
	path = killed
	logs, err := filepath.Glob(filepath.Join(path, "*.mem"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, name := range logs {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	log, logger := newLog()
	s = open(t, path, Options{Logger: logger})
	if bans := s.Bans(time.Now()); len(bans) > 0 || !strings.Contains(log.text(), "had lost something") {
		t.Errorf("%+v\n%s", bans, log.text())
	}
}

// TestSecondIsMissing wants the database to hold where the second copy says less, as it does when an older program has lifted or made bans since.
func TestSecondIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	file := filepath.Join(path, secondName)
	s := open(t, path, Options{})
	one, two := peerstore.Target{ID: storetest.ID(1)}, peerstore.Target{ID: storetest.ID(2)}
	if err := s.Ban(peerstore.Ban{Target: one}); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unban(one); err != nil {
		t.Fatal(err)
	}
	if err := s.Ban(peerstore.Ban{Target: two}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"as it was before": func() error { return os.WriteFile(file, old, 0o600) },
		"missing":          func() error { return os.Remove(file) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		log, logger := newLog()
		s := open(t, path, Options{Logger: logger})
		if bans := s.Bans(time.Now()); len(bans) != 1 || bans[0].Target != two || !strings.Contains(log.text(), "second copy") {
			t.Errorf("%s: %+v\n%s", name, bans, log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err := readCopy(path); err != nil || c.damage != nil || !has(c, two) || has(c, one) {
			t.Errorf("%s: %v %+v", name, err, c)
		}
	}
}

// TestSecondCannotBeWritten wants a ban that could not be written there to be there with the next.
func TestSecondCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	if err := s.second.file.Close(); err != nil {
		t.Fatal(err)
	}
	one, two := peerstore.Target{ID: storetest.ID(1)}, peerstore.Target{ID: storetest.ID(2)}
	if err := s.Ban(peerstore.Ban{Target: one}); err == nil {
		t.Fatal("the ban was written")
	}
	if err := s.Ban(peerstore.Ban{Target: two}); err != nil {
		t.Fatal(err)
	}
	if c, err := readCopy(path); err != nil || c.damage != nil || !has(c, one) || !has(c, two) {
		t.Errorf("%v %+v", err, c)
	}
}

// TestSecondLacksPeer wants a peer with a flag that only the database has to be in the second copy again: a kill came before its removal was in the database.
func TestSecondLacksPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	s.Ensure(storetest.ID(1), time.Now(), func(r *peerstore.Record) { r.Trusted = true })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := readCopy(path)
	if err != nil {
		t.Fatal(err)
	}
	key := appendNode([]byte{peerKey}, storetest.ID(1))
	f, err := os.OpenFile(filepath.Join(path, secondName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(appendLine(nil, c.number+1, opDel, key)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if r, _ := s.Get(storetest.ID(1)); !r.Trusted {
		t.Errorf("%+v", r)
	}
	if c, err := readCopy(path); err != nil || c.damage != nil || c.values[string(key)] == nil {
		t.Errorf("%v %+v", err, c)
	}
}
