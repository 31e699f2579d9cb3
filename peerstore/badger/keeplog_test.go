package badger

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

func parseTarget(t testing.TB, text string) peerstore.Target {
	t.Helper()
	target, err := peerstore.ParseTarget(text)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// someLines are lines of each kind, with the worst that may stand in them.
func someLines(t testing.TB) []line {
	named := transport.NodeID("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
	ip := parseTarget(t, "192.0.2.1")
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return []line{
		{op: opKeep, schema: 4, count: 7},
		{op: opBan, ban: peerstore.Ban{Target: parseTarget(t, "2001:db8::/32"), Since: now,
			Reason: "of \"these\"\n\x00\xff"}},
		{op: opBan, ban: peerstore.Ban{Target: ip, Until: now.Add(time.Hour)}},
		{op: opUnban, ban: peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(5)}}},
		{op: opFlags, id: named, flags: 7},
		{op: opFlags, id: storetest.ID(5)},
		{op: opValue, key: "a key\n", value: []byte("value\n\x00")},
		{op: opValue, key: "empty", value: []byte{}},
		{op: opUnset, key: "gone"},
	}
}

// TestLine wants lines to come back as they were, and none that has changed.
func TestLine(t *testing.T) {
	for _, want := range someLines(t) {
		text := strings.TrimSuffix(string(appendLine(nil, &want)), "\n")
		got, err := parseLine(text)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || strings.Contains(text, "\n") {
			t.Errorf("%q: %v\n%+v\n%+v", text, err, got, want)
		}
		for at := range len(text) {
			changed := []byte(text)
			changed[at] ^= 1 << (at % 8)
			if l, err := parseLine(string(changed)); err == nil {
				t.Errorf("%q: %+v", changed, l)
			}
		}
	}
	late := line{op: opBan, ban: peerstore.Ban{Target: parseTarget(t, "192.0.2.1"),
		Until: time.Date(30_000, 1, 1, 0, 0, 0, 0, time.UTC)}}
	late.ban.Reason = strings.Repeat("x", 1000)
	l, err := parseLine(strings.TrimSuffix(string(appendLine(nil, &late)), "\n"))
	if err != nil || l.ban.Until.Year() != 2262 || len(l.ban.Reason) != 256 {
		t.Errorf("%v %+v", err, l)
	}
}

// FuzzLine wants no line read that would be written in another way.
func FuzzLine(f *testing.F) {
	for _, l := range someLines(f) {
		f.Add(strings.TrimSuffix(string(appendLine(nil, &l)), "\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, rest, ok := strings.Cut(text, " "); ok { // fuzzing finds no checksums
			text = fmt.Sprintf("%08x %s", crc32.Checksum([]byte(rest), castagnoli), rest)
		}
		l, err := parseLine(text)
		if err != nil {
			return
		}
		if again := string(appendLine(nil, &l)); again != text+"\n" {
			t.Fatalf("%q is written as %q", text, again)
		}
	})
}

// FuzzKeepLog wants any file read, and its good lines to come out the same after they are written again.
func FuzzKeepLog(f *testing.F) {
	var whole []byte
	for _, l := range someLines(f) {
		whole = appendLine(whole, &l)
	}
	f.Add(whole)
	f.Add(append(bytes.Clone(whole), "garbage\n\x00more"...))
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseGeneration(data)
		if err != nil {
			return
		}
		if g.size > int64(len(data)) || g.begin > g.size || g.bad > 0 != (g.damage != nil) {
			t.Fatalf("%+v of %d bytes", g, len(data))
		}
		again := appendLine(nil, &line{op: opKeep, schema: schemaVersion, count: len(g.lines)})
		for i := range g.lines {
			again = appendLine(again, &g.lines[i])
		}
		g2, err := parseGeneration(again)
		if err != nil || g2.damage != nil || g2.torn || len(g2.lines) != len(g.lines) || g2.begin != int64(len(again)) {
			t.Fatalf("%v\n%+v\n%+v", err, g, g2)
		}
	})
}

// TestKeepLogFile wants what is wrong with a file told, and its good lines read.
func TestKeepLogFile(t *testing.T) {
	ban := func(n int) []byte {
		return appendLine(nil, &line{op: opBan, ban: peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(n)}}})
	}
	begin := appendLine(nil, &line{op: opKeep, schema: schemaVersion, count: 2})
	file := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	flipped := bytes.Clone(ban(2))
	flipped[20] ^= 1
	for name, c := range map[string]struct {
		data   []byte
		good   int
		bad    int
		torn   bool
		damage string
	}{
		"whole":                 {file(begin, ban(1), ban(2), ban(3)), 3, 0, false, ""},
		"nothing since":         {file(begin, ban(1), ban(2)), 2, 0, false, ""},
		"torn":                  {file(begin, ban(1), ban(2), ban(3)[:30]), 2, 0, true, ""},
		"torn at its beginning": {file(begin, ban(1), ban(2)[:30]), 1, 1, true, "ends after 2 lines of the 3"},
		"ends too early":        {file(begin, ban(1)), 1, 1, false, "ends after 2 lines of the 3"},
		"a bit":                 {file(begin, ban(1), flipped, ban(3)), 2, 1, false, "byte 79: not as it was written"},
		"the last bit":          {file(begin, ban(1), ban(3), flipped), 2, 1, false, "byte 140: not as it was written"},
		"no first line":         {file(ban(1), ban(2)), 1, 1, false, "byte 0: not where"},
		"two first lines":       {file(begin, ban(1), ban(2), begin), 2, 1, false, "byte 140: not where"},
		"empty":                 {nil, 0, 1, false, "ends after 0 lines"},
		"zeros":                 {make([]byte, 500), 0, 1, true, "ends after 0 lines"},
	} {
		g, err := parseGeneration(c.data)
		if err != nil || len(g.lines) != c.good || g.bad != c.bad || g.torn != c.torn {
			t.Errorf("%s: %v %+v, want %d good lines and %d bad", name, err, g, c.good, c.bad)
		}
		if damage := fmt.Sprint(g.damage); g.damage == nil != (c.damage == "") || !strings.Contains(damage, c.damage) &&
			c.damage != "" {
			t.Errorf("%s: %s, want %s", name, damage, c.damage)
		}
	}
}

// TestKeepLogIsWrittenAnew wants the file to stay small however often things change, and to hold what there is at the
// end.
func TestKeepLogIsWrittenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	most, shrunk := int64(0), 0
	last := int64(0)
	for n := range 200 {
		s.SetMeta("anchors", bytes.Repeat([]byte{byte(n)}, 5_000))
		s.Ensure(storetest.ID(1), time.Now(), func(r *peerstore.Record) { r.Trusted = n%3 == 0 })
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(n)}}); err != nil {
			t.Fatal(err)
		}
		if n >= 10 {
			if _, err := s.Unban(peerstore.Target{ID: storetest.ID(n - 10)}); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(filepath.Join(path, keepName))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() < last {
			shrunk++
		}
		last, most = info.Size(), max(most, info.Size())
	}
	if most > 2*keepRoom || shrunk < 5 {
		t.Errorf("it had %d bytes, and was written anew %d times", most, shrunk)
	}
	s.abandon()
	log, logger := newLog()
	s = open(t, path, Options{Logger: logger})
	if r, _ := s.Get(storetest.ID(1)); r.Trusted || len(s.Bans(time.Now())) != 10 || s.Meta("anchors")[0] != 199 ||
		log.text() != "" {
		t.Errorf("%+v, %d bans, %x\n%s", r, len(s.Bans(time.Now())), s.Meta("anchors")[:1], log.text())
	}
}

// TestPreviousGeneration wants the previous generation of the keep log in use, and said so, where the current one is
// missing or damaged at its beginning; and nothing said where only the previous one is.
func TestPreviousGeneration(t *testing.T) {
	one, two := peerstore.Target{ID: storetest.ID(1)}, peerstore.Target{ID: storetest.ID(2)}
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	if err := s.Ban(peerstore.Ban{Target: one}); err != nil {
		t.Fatal(err)
	}
	s.keep.mu.Lock()
	err := s.keep.rewrite()
	s.keep.mu.Unlock()
	if err == nil {
		err = s.Ban(peerstore.Ban{Target: two})
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		do   func(dir string) error
		bans int
		said bool
	}{
		"the current one is missing": {func(dir string) error { return os.Remove(filepath.Join(dir, keepName)) }, 1,
			true},
		"its beginning is damaged": {func(dir string) error { return flip(filepath.Join(dir, keepName), 5) }, 2,
			true},
		"the ban in its beginning is": {func(dir string) error { return flip(filepath.Join(dir, keepName), 90) }, 2,
			true},
		"the previous one is missing": {func(dir string) error { return os.Remove(filepath.Join(dir, keepOld)) }, 2,
			false},
		"the previous one is damaged": {func(dir string) error { return flip(filepath.Join(dir, keepOld), 5) }, 2,
			false},
	} {
		dir := filepath.Join(t.TempDir(), "peers")
		copyStore(t, path, dir)
		if err := c.do(dir); err != nil {
			t.Fatal(err)
		}
		log, logger := newLog()
		s := open(t, dir, Options{Logger: logger})
		if bans := s.Bans(time.Now()); len(bans) != c.bans ||
			strings.Contains(log.text(), "keep log is damaged") != c.said {
			t.Errorf("%s: %+v\n%s", name, bans, log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// flip changes a bit of a file.
func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(path, data, 0o600)
}

// TestKeepLogCannotBeWritten wants a ban that could not be written to be there with the next.
func TestKeepLogCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	if err := s.keep.file.Close(); err != nil {
		t.Fatal(err)
	}
	for n, want := range []bool{false, true} {
		if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(n)}}); (err == nil) != want {
			t.Fatal(n, err)
		}
	}
	s.abandon()
	if bans := open(t, path, Options{}).Bans(time.Now()); len(bans) != 2 {
		t.Errorf("%+v", bans)
	}
}

// TestBansReplayed wants a replaced ban that has ended not to come back, nor one that had to make room.
func TestBansReplayed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	now := time.Now()
	opts := Options{Limits: peerstore.Limits{MaxBans: 3}}
	s := open(t, path, opts)
	for n, until := range map[int]time.Duration{1: 0, 2: 5 * time.Hour, 3: 6 * time.Hour} {
		b := peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(n)}}
		if until > 0 {
			b.Until = now.Add(until)
		}
		if err := s.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []peerstore.Ban{
		{Target: peerstore.Target{ID: storetest.ID(1)}, Until: now.Add(time.Hour)},
		{Target: peerstore.Target{ID: storetest.ID(4)}, Until: now.Add(7 * time.Hour)}, // 1 makes room
		{Target: peerstore.Target{ID: storetest.ID(5)}, Until: now.Add(8 * time.Hour)}, // 2 does
	} {
		if err := s.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]string{0: "345", 2 * time.Hour: "345", 6*time.Hour + 1: "45",
		9 * time.Hour: ""} {
		opts.now = func() time.Time { return now.Add(after) }
		s := open(t, path, opts)
		got := ""
		for n := range 6 {
			if _, banned := s.Banned(storetest.ID(n), netip.Addr{}, opts.now()); banned {
				got += fmt.Sprint(n)
			}
		}
		if got != want {
			t.Errorf("after %v %s are banned, want %s", after, got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForgottenFlags wants the flags of a peer forgotten with it, though it is learned anew before that is written.
func TestForgottenFlags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	now := time.Now()
	s.Ensure(storetest.ID(1), now, func(r *peerstore.Record) { r.Unconditional = true })
	s.Ensure(storetest.ID(2), now, func(r *peerstore.Record) { r.Trusted = true })
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Remove(storetest.ID(1))
	s.Remove(storetest.ID(2))
	s.Add(storetest.Address(1, 1), storetest.Told(1), now)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if r, known := s.Get(storetest.ID(1)); !known || flagsOf(&r) != 0 || s.Stats().Known != 1 {
		t.Errorf("%+v, %+v", r, s.Stats())
	}
}

// TestBucketKey wants the key that places peers in buckets to stay the same from run to run, and nobody to change it.
func TestBucketKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	key := s.BucketKey()
	s.SetMeta(bucketKey, make([]byte, 16))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, path, Options{}).BucketKey(); again != key {
		t.Fatalf("%x, then %x", key, again)
	}
	other := open(t, filepath.Join(t.TempDir(), "peers"), Options{}).BucketKey()
	if other == key {
		t.Fatalf("two stores have the key %x", key)
	}
}

// TestBanOfAnyForm wants a ban to outlast a restart in whatever form its target was given.
func TestBanOfAnyForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	targets := []peerstore.Target{
		{Prefix: netip.MustParsePrefix("10.1.2.3/8")},
		{Prefix: netip.MustParsePrefix("::ffff:192.0.2.1/128")},
		{Prefix: netip.MustParsePrefix("2001:db8::1/32")},
		{ID: "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"},
	}
	for _, target := range targets {
		if err := s.Ban(peerstore.Ban{Target: target}); err != nil {
			t.Error(target, err)
		}
	}
	if was, err := s.Unban(targets[2]); !was || err != nil {
		t.Error(was, err)
	}
	s.abandon()
	log, logger := newLog()
	s = open(t, path, Options{Logger: logger})
	if n := len(s.Bans(time.Now())); n != 3 || log.text() != "" {
		t.Errorf("%d bans\n%s", n, log.text())
	}
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: "a b\nc"}}); err == nil {
		t.Error("a ban of what is no node id was taken")
	}
}

// TestLiftedBanStaysLifted wants a damaged line to bring no ban back that was lifted before it.
func TestLiftedBanStaysLifted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	lifted, kept := peerstore.Target{ID: storetest.ID(1)}, peerstore.Target{ID: storetest.ID(2)}
	for _, target := range []peerstore.Target{lifted, kept} {
		if err := s.Ban(peerstore.Ban{Target: target}); err != nil {
			t.Fatal(err)
		}
	}
	s.keep.most = s.keep.size // the file is full
	if _, err := s.Unban(lifted); err != nil {
		t.Fatal(err)
	}
	at := int(s.keep.size)
	for n := range 3 {
		s.SetMeta("x", []byte{byte(n)})
	}
	s.abandon()
	if err := flip(filepath.Join(path, keepName), at+20); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if bans := s.Bans(time.Now()); len(bans) != 1 || bans[0].Target != kept {
		t.Errorf("%+v", bans)
	}
}

// TestRemovalAfterKeepLogFailed wants a peer to stay removed that was written while the keep log could not be.
func TestRemovalAfterKeepLogFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	free := s.keep.free
	s.keep.free = func() error { return os.ErrPermission }
	s.keep.drop()
	s.Ensure(storetest.ID(1), time.Now(), func(*peerstore.Record) {})
	if err := s.persist(t.Context(), kept); err == nil {
		t.Fatal("it could be written")
	}
	s.Remove(storetest.ID(1))
	s.keep.free = free
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, known := open(t, path, Options{}).Get(storetest.ID(1)); known {
		t.Error("it came back")
	}
}

// TestNothingToSync wants the disk to be asked to flush the keep log only if it lacks something of it.
func TestNothingToSync(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "peers"), Options{})
	write := func() error {
		s.Add(storetest.Address(1, 1), storetest.Told(1), time.Now())
		return s.persist(t.Context(), kept)
	}
	if err := errors.Join(write(), s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(1)}})); err != nil {
		t.Fatal(err)
	}
	_ = s.keep.file.Close() // so that a flush of it fails
	if err := write(); err != nil {
		t.Error(err)
	}
	s.keep.synced--
	if err := write(); err == nil {
		t.Error("the disk was not asked to flush")
	}
}

// TestPreviousGenerationStays wants the previous generation to stay until there is a current one, and its reading to be
// said.
// read.
func TestPreviousGenerationStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(1)}}); err != nil {
		t.Fatal(err)
	}
	s.abandon()
	current := filepath.Join(path, keepName)
	if err := errors.Join(os.Rename(current, filepath.Join(path, keepOld)), os.MkdirAll(filepath.Join(current, "x"),
		0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil {
		t.Fatal("a folder was replaced")
	}
	if err := errors.Join(os.RemoveAll(current), os.RemoveAll(filepath.Join(path, databaseName))); err != nil {
		t.Fatal(err)
	}
	log, logger := newLog()
	bans := open(t, path, Options{Logger: logger}).Bans(time.Now())
	if len(bans) != 1 || !strings.Contains(log.text(), "keep log is damaged") {
		t.Errorf("%+v\n%s", bans, log.text())
	}
}
