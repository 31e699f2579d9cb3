package badger

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// What damagedStore puts into a store, in three parts of the same size. The previous generation of the keep log and the
// beginning of the current one hold the first two parts.
const (
	damagePeers = 3000
	damageBans  = 30
	damageParts = 3
)

// damagedStore makes a folder with a store as a kill leaves it: part in tables, part in a log.
func damagedStore(t *testing.T) (dir string) {
	path := filepath.Join(t.TempDir(), "peers")
	now := time.Now()
	s := open(t, path, Options{})
	for part := range damageParts {
		if part == 2 {
			s.keep.mu.Lock()
			err := s.keep.rewrite()
			s.keep.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := part * damagePeers / damageParts; n < (part+1)*damagePeers/damageParts; n++ {
			s.Add(storetest.Address(n, 1), storetest.Told(n), now)
		}
		for n := part * damageBans / damageParts; n < (part+1)*damageBans/damageParts; n++ {
			if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(100_000 + n)},
				Reason: "r"}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 5 { // bans that the next part lifts
			if err := s.Ban(peerstore.Ban{Target: liftedTarget(part, n)}); err != nil {
				t.Fatal(err)
			}
			if part == 0 {
				continue
			}
			if was, err := s.Unban(liftedTarget(part-1, n)); err != nil || !was {
				t.Fatal(was, err)
			}
		}
		s.SetMeta(fmt.Sprint("part ", part), []byte("there"))
		first := part * damagePeers / damageParts
		s.Update(storetest.ID(first), func(r *peerstore.Record) { r.Trusted, r.Private = true, part == 1 })
		s.Update(storetest.ID(first+1), func(r *peerstore.Record) { r.Unconditional = true })
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if part == 0 {
			if err := s.Close(); err != nil { // which makes a table
				t.Fatal(err)
			}
			s = open(t, path, Options{})
		}
	}
	dir = filepath.Join(t.TempDir(), "killed")
	copyStore(t, path, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func liftedTarget(part, n int) peerstore.Target {
	return peerstore.Target{ID: storetest.ID(150_000 + 10*part + n)}
}

// holds reports what is not as damagedStore left it of a part of that which has to be kept.
func holds(s *Store, part int) error {
	for n := part * damageBans / damageParts; n < (part+1)*damageBans/damageParts; n++ {
		if b, ok := s.Banned(storetest.ID(100_000+n), netip.Addr{}, time.Now()); !ok || b.Reason != "r" {
			return fmt.Errorf("ban %d is lost", n)
		}
	}
	for n := range 5 {
		if _, ok := s.Banned(liftedTarget(part-1, n).ID, netip.Addr{}, time.Now()); ok && part > 0 {
			return fmt.Errorf("ban %d of part %d was lifted, and is back", n, part-1)
		}
	}
	if v := s.Meta(fmt.Sprint("part ", part)); string(v) != "there" {
		return fmt.Errorf("the value of part %d is %q", part, v)
	}
	first := part * damagePeers / damageParts
	if r, _ := s.Get(storetest.ID(first)); !r.Trusted || r.Private != (part == 1) {
		return fmt.Errorf("the trusted peer of part %d is %+v", part, r)
	}
	if r, _ := s.Get(storetest.ID(first + 1)); !r.Unconditional {
		return fmt.Errorf("the unconditional peer of part %d is %+v", part, r)
	}
	return nil
}

// copyStore copies a folder over another. Most of a log of the database is zeros, of which it makes holes.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	for _, name := range filesOf(t, from) {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), bytes.TrimRight(data, "\x00"), 0o600)
		}
		if err == nil {
			err = os.Truncate(filepath.Join(to, name), int64(len(data)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// filesOf are the files in a folder and those below it.
func filesOf(t testing.TB, dir string) (names []string) {
	t.Helper()
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// damage changes a file of the store in some way.
func damage(t *testing.T, dir string, random *rand.Rand) (name, how string) {
	t.Helper()
	files := filesOf(t, dir)
	name = files[random.IntN(len(files))]
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(data, "\x00"))
	if used == 0 || random.IntN(10) == 0 {
		used = len(data)
	}
	if used == 0 {
		return name, "empty"
	}
	at := random.IntN(used)
	n := min(1+random.IntN(4096), len(data)-at)
	switch random.IntN(7) {
	case 0:
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return name, "removed"
	case 1:
		how, data = fmt.Sprintf("cut at %d of %d", at, used), data[:at]
	case 2:
		how = fmt.Sprintf("%d zeros at %d of %d", n, at, used)
		clear(data[at : at+n])
	case 3:
		how = fmt.Sprintf("%d random bytes at %d of %d", n, at, used)
		for i := range n {
			data[at+i] = byte(random.Uint32())
		}
	default:
		bit := random.IntN(8)
		how = fmt.Sprintf("bit %d flipped at %d of %d", bit, at, used)
		data[at] ^= 1 << bit
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, how
}

// survives opens a copy of damagedStore of which one file was damaged, checks what it has and what it says, and opens
// it again.
func survives(path, name, how string) (lost bool, err error) {
	log, logger := newLog()
	s, err := Open(path, Options{Logger: logger})
	if err != nil {
		return false, fmt.Errorf("%w\n%s", err, log.text())
	}
	defer s.Close()
	fail := func(format string, args ...any) (bool, error) {
		return false, fmt.Errorf(format+"\n%s", append(args, log.text())...)
	}
	for part := range damageParts {
		err := holds(s, part)
		switch {
		case err == nil:
		case name != keepName || part < 2: // the end of the keep log is nowhere else
			return fail("%w", err)
		case log.text() == "" && !strings.HasPrefix(how, "cut"):
			return fail("%w, and the log does not say so", err)
		}
	}
	st := s.Stats()
	if lost = st.Known < damagePeers; lost {
		switch filepath.Ext(name) {
		case ".sst":
			if log.text() == "" {
				return fail("%+v, and the log does not say so", st)
			}
		case ".mem": // it may look as after a kill, which may come before anything was written
		default:
			if filepath.Base(name) != "MANIFEST" {
				return fail("%+v", st)
			}
		}
	}
	if st.Known > damagePeers {
		return fail("%+v", st)
	}
	s.Range(func(r peerstore.Record) bool {
		n, e := strconv.ParseInt(string(r.ID), 16, 64)
		if len(r.Addresses) == 0 && lost && flagsOf(&r) != 0 {
			return true
		}
		if e != nil || len(r.Addresses) != 1 || r.Addresses[0].Address != storetest.Address(int(n), 1) {
			err = fmt.Errorf("%+v", r)
		}
		return err == nil
	})
	if err != nil {
		return false, err
	}
	// It goes on working, and has nothing to complain of any more.
	s.Add(storetest.Address(200_000, 1), storetest.Told(1), time.Now())
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(300_000)}}); err != nil {
		return false, err
	}
	if err := s.Close(); err != nil {
		return false, err
	}
	log, logger = newLog()
	if s, err = Open(path, Options{Logger: logger}); err != nil {
		return false, err
	}
	if again := s.Stats(); again.Known != st.Known+1 || again.Banned != st.Banned+1 || log.text() != "" {
		return fail("then %+v, now %+v", st, again)
	}
	return lost, s.Close()
}

// TestDamage damages a file of a store in random ways.
func TestDamage(t *testing.T) {
	whole := damagedStore(t)
	random := seeded(t)
	base := t.TempDir()
	losses := 0
	for round := range rounds(t, 12) {
		dir := filepath.Join(base, strconv.Itoa(round))
		path := filepath.Join(dir, "peers")
		copyStore(t, whole, path)
		name, how := damage(t, path, random)
		if testing.Verbose() {
			fmt.Println(round, name, how) // the database may end the process
		}
		lost, err := survives(path, name, how)
		if err != nil {
			t.Fatalf("%s: %s: %v", name, how, err)
		}
		if lost {
			losses++
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d lost peers", losses)
}

// harm is one way to damage a file.
type harm struct {
	name     string
	do       func(path string, data []byte) error
	replaces bool // by something that is no file; beside the database that is for the operator to mend
}

// harms are the ways to damage a file of which so many bytes are used: it ends at each place where something begins or
// ends, and a bit changes where each byte matters and in between.
func harms(used int) []harm {
	write := func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	changed := func(name string, do func(path string, data []byte) error) harm { return harm{name, do, false} }
	replaced := func(by func(path string) error) func(string, []byte) error {
		return func(path string, _ []byte) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return by(path)
		}
	}
	all := []harm{
		changed("removed", func(path string, _ []byte) error { return os.Remove(path) }),
		changed("twice as long", func(path string, data []byte) error { return write(path, append(data, data...)) }),
		changed("garbage behind it", func(path string, data []byte) error {
			return write(path, append(data, bytes.Repeat([]byte("garbage"), 99)...))
		}),
		changed("all zeros", func(path string, data []byte) error { return write(path, make([]byte, len(data))) }),
		{"a folder", replaced(func(path string) error { return os.Mkdir(path, 0o700) }), true},
		{"a link to itself", replaced(func(path string) error { return os.Symlink(path, path) }), true},
	}
	for _, n := range []int{
		0, 1, 4, 7, 8, 12, 16, 19, 20, 21, 27, 28, used / 4, used / 2, 3 * used / 4, used - 1000, used - 100, used - 8,
		used - 4,
		used - 1, used,
	} {
		if 0 <= n && n <= used {
			all = append(all, changed(fmt.Sprintf("cut at %d of %d", n, used), func(path string, data []byte) error {
				return write(path, data[:n])
			}))
		}
	}
	places := []int{used / 8, used / 4, used / 3, used / 2, 2 * used / 3, 3 * used / 4, 7 * used / 8}
	for n := range 30 {
		places = append(places, n, used-1-n)
	}
	for _, at := range places {
		if 0 <= at && at < used {
			all = append(all, changed(fmt.Sprintf("bit %d flipped at %d of %d", at%8, at, used),
				func(path string, data []byte) error {
					data[at] ^= 1 << (at % 8)
					return write(path, data)
				}))
		}
	}
	return all
}

// TestDamageEverywhere damages each file of a store in each way: all of them in a long run, some in a short one.
func TestDamageEverywhere(t *testing.T) {
	whole := damagedStore(t)
	random := seeded(t)
	share := 40 // of the cases one
	if os.Getenv(longtest.Rounds) != "" {
		share = 1
	}
	base, done := t.TempDir(), 0
	files := filesOf(t, whole)
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range harms(len(bytes.TrimRight(data, "\x00"))) {
			if random.IntN(share) > 0 || h.replaces && filepath.Dir(name) == "." {
				continue
			}
			dir := filepath.Join(base, strconv.Itoa(done))
			path := filepath.Join(dir, "peers")
			copyStore(t, whole, path)
			if testing.Verbose() && os.Getenv(longtest.Rounds) != "" {
				fmt.Println(name, h.name)
			}
			if err := h.do(filepath.Join(path, name), slices.Clone(data)); err != nil {
				t.Fatal(err)
			}
			if _, err := survives(path, name, h.name); err != nil {
				t.Errorf("%s: %s: %v", name, h.name, err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			done++
		}
	}
	t.Logf("%d ways to damage %d files", done, len(files))
}
