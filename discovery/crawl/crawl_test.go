package crawl_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/transport"
)

var privateIP = netip.MustParseAddr("192.168.7.7")

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A thousand nodes are mapped exactly, within a minute, and take less than 200 MB.
func TestThousandNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1000, nil, hosttest.Options{})
		before, from := heap(), time.Now()
		c, err := crawl.New(w.config())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := c.Map()
		took, used := time.Since(from), heap()-before
		t.Logf("%d nodes, %d edges in %v (virtual), %d kB", len(m.Nodes), len(m.Edges), took, used>>10)
		w.check(m)
		w.spy.checkManners(t)
		if took > time.Minute || used > 200<<20 {
			t.Errorf("took %v and %d MB", took, used>>20)
		}
		runtime.KeepAlive(c)
	})
}

// Among dead nodes, others with new keys, those of another network and liars, each is seen as what it is, and what the
// liars invent stays bounded.
func TestHostileNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 200, map[kind]int{dead: 10, changed: 5, elsewhere: 5, liar: 5}, hosttest.Options{})
		m := w.crawl(w.config())
		w.check(m)
		w.spy.checkManners(t)
		if s := m.Summary; s.Known > 200+10+250*w.liars || s.HeldBack != (250-64)*w.liars {
			t.Errorf("%d known, %d held back", s.Known, s.HeldBack)
		}
	})
}

// still is a map without what depends on when it was made.
func still(t *testing.T, m *crawl.Map) string {
	t.Helper()
	var out bytes.Buffer
	for _, n := range m.Nodes {
		n.First, n.Seen, n.RTT, n.Stages = time.Time{}, nil, 0, nil
		if n.PEX != nil {
			pex := *n.PEX
			pex.MS = 0
			n.PEX = &pex
		}
		for i := range n.Addresses {
			n.Addresses[i].Time, n.Addresses[i].MS = nil, 0
		}
		if err := json.NewEncoder(&out).Encode(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range m.Edges {
		out.WriteString(string(e.From) + " " + string(e.To) + "\n")
	}
	return out.String()
}

// A crawl that is killed at any point goes on where it stopped, and comes to the same map: what is in the journal is
// not visited again.
func TestKilledAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 60, map[kind]int{dead: 10, changed: 5, elsewhere: 5, liar: 5}, hosttest.Options{})
		var journal bytes.Buffer
		cfg := w.config()
		cfg.Journal = &journal
		whole := w.crawl(cfg)
		w.check(whole)
		want := still(t, whole)
		if again, err := crawl.Read(bytes.NewReader(journal.Bytes())); err != nil || still(t, again) != want {
			t.Fatalf("the journal makes another map (%v)", err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			time.Sleep(time.Hour)
			cut := journal.Bytes()[:rng.IntN(journal.Len())]
			w.spy.dials = map[string][]time.Time{}
			cfg := w.config()
			var rest bytes.Buffer
			cfg.Journal = &rest
			c, err := crawl.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := c.Replay(bytes.NewReader(cut))
			if err != nil {
				t.Fatal(err)
			}
			if kept > int64(len(cut)) || len(cut)-int(kept) > 64<<10 {
				t.Fatalf("%d of %d bytes are whole lines", kept, len(cut))
			}
			if err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := still(t, c.Map()); got != want {
				t.Errorf("cut at %d of %d bytes: another map", len(cut), journal.Len())
			}
			whole := append(bytes.Clone(cut[:kept]), rest.Bytes()...)
			if m, err := crawl.Read(bytes.NewReader(whole)); err != nil || still(t, m) != want {
				t.Errorf("the two parts of the journal make another map (%v)", err)
			}
			if n, m := bytes.Count(whole, []byte("\n")), bytes.Count(journal.Bytes(), []byte("\n")); n != m {
				t.Errorf("%d visits in all, without the kill %d", n, m)
			}
			w.spy.checkManners(t)
		}
	})
}

// An interrupted crawl ends its links, and its map is partial.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 30, map[kind]int{dead: 10}, hosttest.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cfg := w.config()
		calls := 0
		cfg.Progress = func(p crawl.Progress) {
			if calls++; p.Visits == 10 {
				cancel()
			}
		}
		c, err := crawl.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if s := c.Map().Summary; !s.Partial || s.Why != "interrupted" || s.Visits < 10 || calls < 10 {
			t.Errorf("%+v after %d calls", s, calls)
		}
		w.spy.checkManners(t)
	})
}

// Budgets end a crawl.
func TestBudgets(t *testing.T) {
	for name, change := range map[string]func(*crawl.Config){
		"the budget of 5 dials is spent": func(c *crawl.Config) { c.MaxDials = 5 },
		"the time of 20s is over":        func(c *crawl.Config) { c.MaxTime = 20 * time.Second },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 30, map[kind]int{dead: 10}, hosttest.Options{})
			cfg := w.config()
			change(&cfg)
			m := w.crawl(cfg)
			if m.Summary.Why != name {
				t.Errorf("%q, want %q", m.Summary.Why, name)
			}
		})
	}
}

// Without a network, the first seed that answers names it; without a node in the address, either wire finds the seed.
func TestLearnsNetwork(t *testing.T) {
	for _, speaks := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(speaks, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 12, nil, hosttest.Options{
					Speaks: func(*hosttest.Node) []string { return []string{speaks} },
				})
				cfg := w.config()
				cfg.Network = ""
				open, err := cfg.Seeds[0].WithNode("")
				if err != nil {
					t.Fatal(err)
				}
				cfg.Seeds[0] = open
				m := w.crawl(cfg)
				w.check(m)
				if s := m.Summary; s.Network != "hosttest" || s.Here != 12 || s.Known != 12 ||
					s.Wires[0].Name != speaks+"/tcp" {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// Two passes ask everybody twice.
func TestPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, nil, hosttest.Options{})
		cfg := w.config()
		cfg.Passes = 2
		m := w.crawl(cfg)
		w.check(m)
		w.spy.checkManners(t)
		e := m.Summary.Estimate
		if m.Summary.Visits != 40 || e == nil || e.Method != "passes" || e.Unseen != 0 || e.Total != 20 {
			t.Errorf("%d visits, %+v", m.Summary.Visits, e)
		}
	})
}

// Excluded and private addresses are never dialed.
func TestScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, nil, hosttest.Options{})
		exclude, err := crawl.ReadExclude(strings.NewReader("# not these\n" + string(w.net.Nodes[3].ID) + "\n" +
			w.net.Nodes[4].IP().String() + " # nor that\n" + w.net.Nodes[5].IP().String() + "/24\n"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.answers {
			w.answers[i] = append(w.answers[i], fake(t, strings.Repeat("ab", 20), w.net.Nodes[6].IP().Next().Next()),
				fake(t, strings.Repeat("cd", 20), w.net.Nodes[6].IP()))
			w.answers[i][len(w.answers[i])-2] = fake(t, strings.Repeat("ab", 20), privateIP)
		}
		cfg := w.config()
		cfg.Exclude = exclude
		m := w.crawl(cfg)
		if m.Summary.Here != 17 || m.Summary.Dropped.Refused == 0 {
			t.Errorf("%+v", m.Summary)
		}
		for _, ip := range []string{privateIP.String(), w.net.Nodes[3].IP().String(), w.net.Nodes[4].IP().String(),
			w.net.Nodes[5].IP().String()} {
			if len(w.spy.dials[ip]) > 0 {
				t.Errorf("%s was dialed", ip)
			}
		}
	})
}

// fixedNames resolves every name to one IP.
type fixedNames struct{ ip netip.Addr }

func (f fixedNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{f.ip}, nil
}

// A seed may have a name. Where that leads is dialed if it is public: a name server cannot send a crawl into the
// networks around us.
func TestSeedWithName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, nil, hosttest.Options{})
		cfg := w.config()
		seed, err := transport.ParseAddress(string(w.net.Nodes[0].ID) + "@seed.example:26656")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Seeds = []transport.Address{seed}
		cfg.Resolver = fixedNames{w.net.Nodes[0].IP()}
		w.check(w.crawl(cfg))
		cfg.Resolver = fixedNames{privateIP}
		c, err := crawl.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "private addresses only") {
			t.Errorf("%v", err)
		}
		if len(w.spy.dials[privateIP.String()]) > 0 {
			t.Error("a private address was dialed")
		}
	})
}

// A node that never answers holds up nobody, and the visit ends in time.
func TestSilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, nil, hosttest.Options{})
		w.answers[3] = nil
		w.mute = map[int]bool{3: true}
		from := time.Now()
		m := w.crawl(w.config())
		if took := time.Since(from); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if s := m.Summary; s.Here != 10 || s.Silent != 1 {
			t.Errorf("%+v", s)
		}
		w.spy.checkManners(t)
	})
}
