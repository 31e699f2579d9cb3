package badger

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// crashEnv makes the test binary the child of TestKill: its value is the store's path, the seed, and where each
// worker's numbers begin.
const crashEnv = "SWITCHYARD_CRASH_CHILD"

func rounds(t *testing.T, usual int) int { return longtest.Count(t, longtest.Rounds, usual) }

// seeded is the source of a crash test's choices; a failure tells its seed. When exactly a kill comes is not repeated.
func seeded(t *testing.T) *rand.Rand {
	seed, asked := longtest.FromSeed(t)
	if !asked {
		seed = uint64(time.Now().UnixNano()) >> 16
	}
	t.Logf("%s=%d", longtest.Seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Each worker of the child has nodes of its own: number n of worker w is node crashWorkers*n+w. The nodes that it bans
// are others: a banned one is not learned.
const (
	crashWorkers = 4
	crashBans    = 1 << 24
)

func crashNode(w, n int) int { return crashWorkers*n + w }

func crashOptions() Options {
	return Options{Interval: 2 * time.Millisecond, Limits: peerstore.Limits{MaxPeers: 1 << 20, MaxBans: 1 << 20}}
}

// crasher is one of those that work on the store until the process is killed. It says on the output what the store has
// acknowledged:
//
//	flushed W N H  the peers up to N are there, and node 0 has at least the height H
//	banned W N     and the like: trusted, removed, lifted
type crasher struct {
	s        *Store
	w, n     int // who, and the number of the next peer
	height   uint64
	r        *rand.Rand
	lock     *sync.Mutex
	mine     []int // banned, and not lifted
	removals []int // not flushed yet
	value    int
}

func (c *crasher) say(what string, rest ...any) {
	c.lock.Lock()
	defer c.lock.Unlock()
	// in one piece
	_, _ = os.Stdout.WriteString(strings.TrimSuffix(fmt.Sprintln(append([]any{what, c.w}, rest...)...), "\n") + "\n")
}

func (c *crasher) id(n int) transport.NodeID { return storetest.ID(crashNode(c.w, n)) }

func (c *crasher) step() {
	now := time.Now()
	node := crashNode(c.w, c.n)
	c.s.Add(storetest.Address(node, 1), storetest.Told(node), now)
	c.height++
	c.s.Ensure(c.id(0), now, func(r *peerstore.Record) { r.Height = c.height })
	c.s.Update(c.id(c.r.IntN(c.n+1)), func(r *peerstore.Record) { r.Failures++ })
	c.n++
	switch k := c.r.IntN(66); {
	case k == 0:
		if err := c.s.Flush(context.Background()); err != nil {
			c.say("error", err)
		}
		c.say("flushed", c.n-1, c.height)
		for _, n := range c.removals {
			c.say("removed", n)
		}
		c.removals = nil
	case k == 1:
		if err := c.s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(crashBans + node)},
			Reason: strconv.Itoa(node)}); err != nil {
			c.say("error", err)
		}
		c.mine = append(c.mine, c.n-1)
		c.say("banned", c.n-1)
	case k == 2:
		c.s.Update(c.id(c.n-1), func(r *peerstore.Record) { r.Trusted = true })
		c.say("trusted", c.n-1)
	case k == 3 && len(c.mine) > 0:
		n := c.mine[0]
		c.mine = c.mine[1:]
		c.say("lifting", n)
		if _, err := c.s.Unban(peerstore.Target{ID: storetest.ID(crashBans + crashNode(c.w, n))}); err != nil {
			c.say("error", err)
		}
		c.say("lifted", n)
	case k == 4 && c.n > 2:
		c.say("removing", c.n-1)
		c.s.Remove(c.id(c.n - 1))
		c.removals = append(c.removals, c.n-1)
	case k == 5:
		c.value++
		c.s.SetMeta(fmt.Sprint("worker ", c.w), strconv.AppendInt(nil, int64(c.value), 10))
		c.say("value", c.value)
	case k == 6: // which makes the keep log long
		c.s.SetMeta("long", bytes.Repeat([]byte("long"), 5000))
		c.s.SetMeta("long", nil)
	case k == 7:
		c.s.Next(now, peerstore.Query{})
		c.s.Advertise(50, now, nil)
	}
}

// crashChild works on the store until it is killed.
func crashChild(plan string) {
	var path string
	var seed uint64
	var n [crashWorkers]int
	if _, err := fmt.Sscan(plan, &path, &seed, &n[0], &n[1], &n[2], &n[3]); err != nil {
		fmt.Println("error", 0, err)
		return
	}
	s, err := Open(path, crashOptions())
	if err != nil {
		fmt.Println("error", 0, err)
		return
	}
	fmt.Println("opened", 0, s.Stats().Known)
	var all sync.WaitGroup
	all.Go(func() { _ = s.Run(context.Background()) })
	var lock sync.Mutex
	for w := range crashWorkers {
		value, _ := strconv.Atoi(string(s.Meta(fmt.Sprint("worker ", w))))
		c := &crasher{s: s, w: w, value: value, n: n[w], height: uint64(n[w]),
			r: rand.New(rand.NewPCG(seed, uint64(w))), lock: &lock}
		all.Go(func() {
			for {
				c.step()
			}
		})
	}
	all.Wait()
}

// ledger is what the store has acknowledged.
type ledger struct {
	flushed [crashWorkers]int // peers below it
	height  [crashWorkers]uint64
	next    [crashWorkers]int // no worker has used this number
	banned  map[int]bool      // node; false: lifted
	lifting map[int]bool      // what is being lifted may be either
	trusted map[int]bool
	removed map[int]bool // true: flushed, so it is gone; false: it may be
	values  map[int]int  // of each worker; there may be a later one
}

// note takes over a line of the child.
func (l *ledger) note(line string) error {
	var what string
	var w, n int
	var height uint64
	if _, err := fmt.Sscan(line, &what, &w); err != nil || what == "error" || w >= crashWorkers {
		return fmt.Errorf("the child says %q", line)
	}
	_, _ = fmt.Sscan(line, &what, &w, &n, &height)
	node := crashNode(w, n)
	switch what {
	case "opened":
		return nil
	case "flushed":
		l.flushed[w], l.height[w] = max(l.flushed[w], n+1), max(l.height[w], height)
	case "banned":
		l.banned[node] = true
	case "lifting":
		l.lifting[node] = true
	case "lifted":
		l.banned[node] = false
		delete(l.lifting, node)
	case "trusted":
		l.trusted[node] = true
	case "value":
		l.values[w] = n
		return nil
	case "removing":
		l.mayGo(node)
	case "removed":
		l.removed[node] = true
	default:
		return fmt.Errorf("the child says %q", line)
	}
	l.next[w] = max(l.next[w], n+1)
	return nil
}

// mayGo notes that a peer may be gone.
func (l *ledger) mayGo(node int) {
	if !l.removed[node] {
		l.removed[node] = false
	}
}

// check compares the store with what was acknowledged.
func (l *ledger) check(s *Store) error {
	known := 0
	s.Range(func(peerstore.Record) bool { known++; return true })
	if st := s.Stats(); st.Known != known {
		return fmt.Errorf("%+v, and %d are there", st, known)
	}
	var missing []string
	for w := range crashWorkers {
		for n := range l.flushed[w] {
			node := crashNode(w, n)
			_, gone := l.removed[node]
			if _, ok := s.Get(storetest.ID(node)); !ok && !gone {
				missing = append(missing, fmt.Sprint(n, "/", w))
			}
		}
		if r, _ := s.Get(storetest.ID(crashNode(w, 0))); r.Height < l.height[w] {
			return fmt.Errorf("a height of %d of worker %d was flushed, %d is there", l.height[w], w, r.Height)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d flushed peers (number/worker) are lost: %.200v", len(missing), missing)
	}
	for node, flushed := range l.removed {
		if _, ok := s.Get(storetest.ID(node)); ok && flushed {
			return fmt.Errorf("peer %d was removed and is back", node)
		}
	}
	if err := l.checkKept(s); err != nil {
		return err
	}
	for w := range crashWorkers { // what was not flushed and is lost stays so: the next child goes on behind it
		for n := l.flushed[w]; n < l.next[w]; n++ {
			node := crashNode(w, n)
			if _, ok := s.Get(storetest.ID(node)); !ok {
				l.mayGo(node)
			}
		}
	}
	return nil
}

// checkKept compares what no damage of one file may take.
func (l *ledger) checkKept(s *Store) error {
	for node, want := range l.banned {
		b, ok := s.Banned(storetest.ID(crashBans+node), netip.Addr{}, time.Now())
		if ok != want && !l.lifting[node] || ok && b.Reason != strconv.Itoa(node) {
			return fmt.Errorf("%d is banned: %v %+v, want %v", node, ok, b, want)
		}
	}
	for w, want := range l.values {
		if got, _ := strconv.Atoi(string(s.Meta(fmt.Sprint("worker ", w)))); got < want {
			return fmt.Errorf("the value of worker %d is %d, %d was acknowledged", w, got, want)
		}
	}
	for node := range l.trusted {
		if _, gone := l.removed[node]; gone {
			continue
		}
		if r, _ := s.Get(storetest.ID(node)); !r.Trusted {
			return fmt.Errorf("%d is not trusted any more", node)
		}
	}
	return nil
}

// run starts a child and kills it once it has said so many lines, or after patience when it has not said any yet.
func (l *ledger) run(t *testing.T, path string, seed uint64, lines int, patience time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(),
		fmt.Sprintf("%s=%s %d %d %d %d %d", crashEnv, path, seed, l.next[0], l.next[1], l.next[2], l.next[3]))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if lines == 0 { // while it starts
		timer := time.AfterFunc(patience, func() { _ = child.Process.Kill() })
		defer timer.Stop()
	}
	in := bufio.NewReader(out)
	for said := 1; ; said++ {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break // what is left of a line was not said
		}
		if err == nil {
			err = l.note(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			_ = child.Process.Kill()
			t.Error(err)
		}
		if said == lines {
			_ = child.Process.Kill() // what it says until it is dead counts as well
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait()
}

// TestKill kills a process that works on the store with several goroutines, again and again, at random moments. What
// was acknowledged is there, and nothing is reported as lost. If a file of what a kill left is damaged as well, but for
// the keep log, all bans and flags are there all the same, and no ban is back that was lifted.
func TestKill(t *testing.T) {
	random := seeded(t)
	var path string
	var l *ledger
	kills, peers, bans := 0, 0, 0
	for round := range rounds(t, 14) {
		if round%50 == 0 { // a store that has grown takes longer to look at
			path = filepath.Join(t.TempDir(), "peers")
			l = &ledger{banned: map[int]bool{}, lifting: map[int]bool{}, trusted: map[int]bool{},
				removed: map[int]bool{}, values: map[int]int{}}
		}
		lines := 0
		if round%4 > 0 {
			lines = 1 + random.IntN(400)>>random.IntN(6)
		}
		l.run(t, path, random.Uint64(), lines, time.Duration(random.IntN(60_000))*time.Microsecond)
		kills++
		if round%3 == 0 && len(l.banned) > 0 {
			dir := filepath.Join(t.TempDir(), "damaged")
			copyStore(t, path, dir)
			name, how := damage(t, dir, random)
			s, err := Open(dir, crashOptions())
			if err != nil {
				t.Fatalf("round %d: %s: %s: %v", round, name, how, err)
			}
			if err := l.checkKept(s); err != nil && name != keepName {
				t.Fatalf("round %d: %s: %s: %v", round, name, how, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		log := &logged{}
		opts := crashOptions()
		opts.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		s := open(t, path, opts)
		if err := l.check(s); err != nil || log.text() != "" {
			t.Fatalf("round %d: %v\n%s", round, err, log.text())
		}
		if random.IntN(3) == 0 {
			s.abandon() // without a flush: the next one finds it as the kill left it
		} else if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
		if round%50 == 49 || round == rounds(t, 14)-1 {
			for w := range crashWorkers {
				peers += l.flushed[w]
			}
			bans += len(l.banned)
		}
	}
	t.Logf("%d kills: %d peers were flushed, %d bans made", kills, peers, bans)
}
