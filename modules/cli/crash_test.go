package cli

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
)

// strangers writes an address book of unreachable nodes, for `switchyard store import`.
func strangers(t *testing.T, random *rand.Rand, n int) string {
	t.Helper()
	entries := make([]string, n)
	for i := range entries {
		id := fmt.Sprintf("%016x%016x%08x", random.Uint64(), random.Uint64(), random.Uint32())
		entries[i] = fmt.Sprintf(`{"addr":{"id":%q,"ip":"127.%d.%d.%d","port":1},`+
			`"src":{"id":%q,"ip":"127.0.0.1","port":1},"buckets":[1],"attempts":0,"bucket_type":1,`+
			`"last_attempt":"2026-01-01T00:00:00Z","last_success":"2026-01-01T00:00:00Z",`+
			`"last_ban_time":"0001-01-01T00:00:00Z"}`,
			id, 1+random.IntN(250), random.IntN(250), 1+random.IntN(250), id)
	}
	path := filepath.Join(t.TempDir(), "addrbook.json")
	if err := os.WriteFile(path, []byte(`{"key":"00","addrs":[`+strings.Join(entries, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// banLedger records the bans that a node has acknowledged, across its kills.
type banLedger struct {
	mu       sync.Mutex
	banned   map[string]bool // false: lifted
	open     map[string]bool // not acknowledged: either state is right
	acks     int
	enough   int
	complete chan struct{} // closed once there are enough
}

func (l *banLedger) asks(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[target] = true
}

func (l *banLedger) acknowledged(target string, banned bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, target)
	l.banned[target] = banned
	if l.acks++; l.acks == l.enough {
		close(l.complete)
	}
}

// work bans and lifts bans from several goroutines, until the node is killed after so many acknowledgements.
func (l *banLedger) work(t *testing.T, n *node, random *rand.Rand, acks int) {
	t.Helper()
	client := n.client()
	l.acks, l.enough, l.complete = 0, acks, make(chan struct{})
	var workers sync.WaitGroup
	for range 3 {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		workers.Go(func() {
			for {
				target := fmt.Sprintf("%040x", own.Uint64())
				if own.IntN(3) == 0 {
					target = fmt.Sprintf("198.%d.%d.%d", own.IntN(256), own.IntN(256), own.IntN(256))
				}
				l.asks(target)
				if _, err := client.Ban(t.Context(), target, time.Hour, "crash"); err != nil {
					return // it is dead
				}
				l.acknowledged(target, true)
				if own.IntN(4) == 0 {
					l.asks(target)
					if err := client.Unban(t.Context(), target); err != nil {
						return
					}
					l.acknowledged(target, false)
				}
			}
		})
	}
	select {
	case <-l.complete:
	case <-time.After(limit):
		t.Error("too few bans")
	}
	_ = n.cmd.Process.Kill()
	workers.Wait()
}

// check compares the bans of the restarted node with the acknowledged ones and returns how many are missing. It then
// records the bans that are there.
func (l *banLedger) check(t *testing.T, n *node) (lost int) {
	t.Helper()
	client := n.client()
	list, err := client.Bans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, b := range list {
		have[b.Target] = true
	}
	for target, want := range l.banned {
		if want && !have[target] && !l.open[target] {
			lost++
		}
	}
	l.banned, l.open = have, map[string]bool{}
	return lost
}

// spoil damages a file of a store and returns which and how.
func spoil(t *testing.T, dir string, random *rand.Rand) (name, how string) {
	t.Helper()
	var files []string
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	name = files[random.IntN(len(files))]
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(strings.TrimRight(string(data), "\x00"))
	switch kind := random.IntN(5); {
	case kind == 0:
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return name, "removed"
	case used == 0:
		return name, "left as it was, empty"
	case kind == 1:
		at := random.IntN(used)
		how, data = fmt.Sprintf("cut at %d of %d", at, used), data[:at]
	default:
		at := random.IntN(used)
		data[at] ^= 1 << random.IntN(8)
		how = fmt.Sprintf("a bit flipped at %d of %d", at, used)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, how
}

// saysLost reports whether a node's log reports that the store may have lost bans.
func saysLost(log string) bool {
	return strings.Contains(log, "keep log is damaged") || strings.Contains(log, "ends within a line")
}

// TestKilledAndDamaged kills a node with peers around it at random moments of its work, damages its store now and then,
// and starts it again. It always starts. Every acknowledged ban is there, unless the keep log was damaged: the node
// then reports that. No other damage loses any.
func TestKilledAndDamaged(t *testing.T) {
	seed, asked := longtest.FromSeed(t)
	if !asked {
		seed = uint64(time.Now().UnixNano()) >> 16
	}
	t.Logf("%s=%d", longtest.Seed, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	usual := 8
	if testing.Short() || raceEnabled {
		usual = 4
	}
	var around []string
	for range 2 {
		home := initHome(t)
		must(t, "store", "import", strangers(t, random, 300), "--home", home)
		around = append(around, fmt.Sprintf("%q", startNode(t, home).address()))
	}
	home := initHome(t)
	peers := filepath.Join(home, "data", "peers")
	l := &banLedger{banned: map[string]bool{}, open: map[string]bool{}}
	var name, how string // the damage before this start
	losses, bans := 0, 0
	for round := range longtest.Count(t, longtest.Rounds, usual) {
		n := startNode(t, home, "--set", "peers.bootstrap=["+strings.Join(around, ",")+"]")
		lost := l.check(t, n)
		bans = max(bans, len(l.banned))
		l.work(t, n, random, 1+random.IntN(60))
		log := <-n.log
		_ = n.cmd.Wait()
		said := saysLost(log) || strings.HasPrefix(how, "cut") // which may look as if no more had been written
		if lost > 0 && (name != "keep.log" || !said) || n.stderr.Len() > 0 {
			t.Fatalf("round %d, after a kill and %q %s: %d bans are lost\n%s%s", round, name, how, lost,
				n.stderr.String(), log)
		}
		losses += lost
		if name, how = "", ""; random.IntN(2) == 0 {
			name, how = spoil(t, peers, random)
		}
	}
	aside, _ := filepath.Glob(filepath.Join(peers, "db.damaged-*"))
	t.Logf("up to %d bans, %d lost by damage, %d databases set aside", bans, losses, len(aside))
}

// TestUnusableStores checks that a store that cannot be used is reported in one clear line and left as it is.
func TestUnusableStores(t *testing.T) {
	home := initHome(t)
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{file, "is a file, not a folder"},
		{filepath.Join(file, "below"), "is a file, not a folder"},
		{"/proc/self/peers", "/proc/self/peers"}, // where no process may make a folder
	} {
		oneLine(t, call(t, "start", "--home", home, "--set", "store.path="+c.path), exitFailed, c.want)
	}
	n := startNode(t, home)
	oneLine(t, call(t, "start", "--home", home), exitFailed, "in use by another process")
	oneLine(t, call(t, "store", "export", "--home", home), exitFailed, "in use by another process")
	client := n.client()
	if err := client.Healthy(context.Background()); err != nil {
		t.Error("the one that has the store:", err)
	}
}
