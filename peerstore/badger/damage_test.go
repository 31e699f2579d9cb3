package badger

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// damagedStore makes folders with a store as a kill leaves it: part in tables, part in a log.
func damagedStore(t *testing.T) (dir string, peers, bans int) {
	path := filepath.Join(t.TempDir(), "peers")
	now := time.Now()
	peers, bans = 3000, 30
	random := rand.New(rand.NewPCG(1, 2))
	s := open(t, path, Options{})
	for part := range 3 {
		for n := part * peers / 3; n < (part+1)*peers/3; n++ {
			s.Add(storetest.Address(n, 1), storetest.Told(n), now)
			s.Update(storetest.ID(n), func(r *peerstore.Record) { // so unlike that a page fills a block, packed too
				var noise [40]byte
				for i := range noise {
					noise[i] = byte(random.Uint32())
				}
				r.Addresses[0].LastError = hex.EncodeToString(noise[:])
			})
		}
		for n := part * bans / 3; n < (part+1)*bans/3; n++ {
			if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(100_000 + n)}, Reason: "r"}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 5 { // bans that are lifted once they are in a table
			if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(150_000 + 10*part + n)}}); err != nil {
				t.Fatal(err)
			}
			if part == 0 {
				continue
			}
			if was, err := s.Unban(peerstore.Target{ID: storetest.ID(150_000 + 10*(part-1) + n)}); err != nil || !was {
				t.Fatal(was, err)
			}
		}
		s.SetMeta("anchors", []byte{byte(part)})
		s.SetMeta(fmt.Sprint("part ", part), []byte("there"))
		s.Update(storetest.ID(part*peers/3), func(r *peerstore.Record) { r.Trusted, r.Private = true, part == 1 })
		s.Update(storetest.ID(part*peers/3+1), func(r *peerstore.Record) { r.Unconditional = true })
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if part < 2 {
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
	return dir, peers, bans + 5 // those of the last part are not lifted
}

// holdsAll says what is not as damagedStore left it of that which must not be lost.
func holdsAll(s *Store, peers, bans int) error {
	for n := range bans - 5 {
		if b, ok := s.Banned(storetest.ID(100_000+n), netip.Addr{}, time.Now()); !ok || b.Reason != "r" {
			return fmt.Errorf("ban %d is lost", n)
		}
	}
	for part := range 2 {
		for n := range 5 {
			if _, ok := s.Banned(storetest.ID(150_000+10*part+n), netip.Addr{}, time.Now()); ok {
				return fmt.Errorf("the ban %d of part %d was lifted, and is back", n, part)
			}
		}
	}
	if v := s.Meta("anchors"); len(v) != 1 || v[0] != 2 {
		return fmt.Errorf("the anchors are %x", v)
	}
	for part := range 3 {
		if v := s.Meta(fmt.Sprint("part ", part)); string(v) != "there" {
			return fmt.Errorf("the value of part %d is %q", part, v)
		}
		n := part * peers / 3
		if r, _ := s.Get(storetest.ID(n)); !r.Trusted || r.Private != (part == 1) || len(r.Addresses) != 1 || r.Addresses[0].Address != storetest.Address(n, 1) {
			return fmt.Errorf("the trusted peer of part %d is %+v", part, r)
		}
		if r, _ := s.Get(storetest.ID(n + 1)); !r.Unconditional || len(r.Addresses) != 1 {
			return fmt.Errorf("the unconditional peer of part %d is %+v", part, r)
		}
	}
	return nil
}

// copyStore copies the files of a store.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// damage changes one file of the store in one way, and says which.
func damage(t *testing.T, dir string, random *rand.Rand) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := files[random.IntN(len(files))].Name()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(strings.TrimRight(string(data), "\x00")) // most of a log is zeros
	if used == 0 || random.IntN(10) == 0 {
		used = len(data)
	}
	if used == 0 {
		return name + ": empty"
	}
	at := random.IntN(used)
	var how string
	switch random.IntN(7) {
	case 0:
		how = fmt.Sprintf("%s: removed", name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return how
	case 1:
		how = fmt.Sprintf("%s: cut at %d of %d", name, at, used)
		data = data[:at]
	case 2:
		n := min(1+random.IntN(4096), len(data)-at)
		how = fmt.Sprintf("%s: %d zeros at %d of %d", name, n, at, used)
		clear(data[at : at+n])
	case 3:
		n := min(1+random.IntN(4096), len(data)-at)
		how = fmt.Sprintf("%s: %d random bytes at %d of %d", name, n, at, used)
		for i := range n {
			data[at+i] = byte(random.Uint32())
		}
	default:
		bit := random.IntN(8)
		how = fmt.Sprintf("%s: bit %d flipped at %d of %d", name, bit, at, used)
		data[at] ^= 1 << bit
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return how
}

// TestDamage damages the files of a store in random ways. It opens, what it holds is right, and when something is missing the log says so.
func TestDamage(t *testing.T) {
	whole, peers, bans := damagedStore(t)
	random := seeded(t)
	base := t.TempDir()
	lossy, aside := 0, 0
	for round := range rounds(t, 40) {
		dir := filepath.Join(base, strconv.Itoa(round))
		path := filepath.Join(dir, "peers")
		copyStore(t, whole, path)
		how := damage(t, path, random)
		twice := random.IntN(4) == 0
		if twice {
			how += ", " + damage(t, path, random)
		}
		if testing.Verbose() {
			fmt.Println(round, how) // the database may end the process
		}

		log, logger := newLog()
		s, err := Open(path, Options{Logger: logger})
		if err != nil {
			t.Fatalf("%s: %v\n%s", how, err, log.text())
		}
		got := s.Stats()
		if got.Known > peers || got.Banned > bans && !twice {
			t.Fatalf("%s: %+v", how, got)
		}
		s.Range(func(r peerstore.Record) bool {
			n, err := strconv.ParseInt(string(r.ID), 16, 64)
			if err != nil || len(r.Addresses) != 1 || r.Addresses[0].Address != storetest.Address(int(n), 1) || r.Addresses[0].Source.Kind != "pex" {
				t.Fatalf("%s: %+v", how, r)
			}
			return true
		})
		if err := holdsAll(s, peers, bans); err != nil && !twice {
			t.Fatalf("%s: %v\n%s", how, err, log.text())
		}
		if got.Known < peers || got.Banned < bans {
			lossy++
			if !strings.Contains(log.text(), "missing_peers") && !strings.Contains(log.text(), "cannot be told") {
				t.Fatalf("%s: %+v are left, and the log does not say so:\n%s", how, got, log.text())
			}
		}
		if matches, _ := filepath.Glob(path + ".corrupt-*"); len(matches) > 0 {
			aside++
		}
		// It goes on working, and has nothing to complain of any more.
		s.Add(storetest.Address(200_000, 1), peerstore.Source{}, time.Now())
		if err := s.Close(); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		log, logger = newLog()
		s = open(t, path, Options{Logger: logger})
		if st := s.Stats(); st.Known != got.Known+1 || st.Banned != got.Banned || log.text() != "" {
			t.Fatalf("%s: then %+v, now %+v\n%s", how, got, st, log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d lost something, %d were set aside", lossy, aside)
}
