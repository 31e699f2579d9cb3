package backfill

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		from, to uint64
		stored   []Span
		want     string
	}{
		{1, 10, nil, "[1-10]"},
		{10, 1, nil, "[1-10]"},
		{0, 0, nil, "[0-0]"},
		{1, 10, []Span{{1, 10}}, "[]"},
		{1, 10, []Span{{0, 3}, {5, 5}, {9, 20}}, "[4-4 6-8]"},
		{10, 1, []Span{{0, 3}, {5, 5}, {9, 20}}, "[6-8 4-4]"},
		{5, 8, []Span{{1, 2}, {10, 20}}, "[5-8]"},
		{5, 8, []Span{{6, 7}}, "[5-5 8-8]"},
	} {
		p := newPlan(c.from, c.to, c.stored)
		if got := fmt.Sprint(p.gaps); got != c.want {
			t.Errorf("%d to %d without %v: %v, want %v", c.from, c.to, c.stored, got, c.want)
		}
		last := uint64(0)
		for pos := range p.total {
			h := p.height(pos)
			if pos > 0 && (h < last) != (c.to < c.from) {
				t.Errorf("%v: height %d follows %d", c, h, last)
			}
			if end := pos + p.run(pos) - 1; end >= p.total || max(h, p.height(end))-min(h, p.height(end)) != end-pos {
				t.Errorf("%v: a run of %d from %d on", c, p.run(pos), h)
			}
			last = h
		}
	}
}

// Honest peers finish, in both directions, and share the work.
func TestHonestPeers(t *testing.T) {
	const n = 20_000
	for _, p := range []plan{newPlan(1, n, nil), newPlan(n, 1, nil), newPlan(1, n, []Span{{5, 9}, {700, 12_345}})} {
		w := newSim(t, 1, testBounds(), p, honest(1, n), honest(2, n), honest(3, n))
		began := w.now
		w.run(never)
		w.complete()
		alone := time.Duration(p.total) * 100 * time.Microsecond
		if took := w.now.Sub(began); took > alone/2+200*time.Millisecond { // requests are small at first
			t.Errorf("three peers took %v, where one needs %v", took, alone)
		}
		if w.s.count.bad+w.s.count.failed+w.s.count.lacking > 0 || w.s.count.requests > 3*p.total/170 {
			t.Errorf("%+v", w.s.count) // 85 heights are the share of one request
		}
	}
}

// A late first height holds the window and nothing beyond; it is asked of a second peer.
func TestLateFrontIsHedged(t *testing.T) {
	const n = 100_000
	slow := honest(1, n)
	slow.trip = 30 * time.Second
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), slow)
	w.run(func() bool { return len(w.s.requests) > 0 }) // it has the front
	w.arrive(honest(2, n))
	w.arrive(honest(3, n))
	began := w.now
	w.run(func() bool { return w.s.next > 0 })
	if took := w.now.Sub(began); took > 1500*time.Millisecond {
		t.Errorf("the front came after %v", took)
	}
	w.run(never)
	w.complete()
	if w.s.count.hedged == 0 || len(w.reports) > 0 {
		t.Errorf("%+v, reports %v", w.s.count, w.reports)
	}
	if took := w.now.Sub(began); took > 20*time.Second {
		t.Errorf("a slow peer makes it take %v", took)
	}
}

// Peers that have pruned at different heights are asked for what they have alone, in both directions. All lower heights
// are with one.
func TestPrunedPeers(t *testing.T) {
	const n = 5000
	for _, p := range []plan{newPlan(1, n, nil), newPlan(n, 1, nil)} {
		var peers []*simPeer
		for i := range 10 {
			p := honest(i, n)
			p.has.From = uint64(i) * 400
			p.prune = 3 * time.Millisecond // and goes on, while it says so late
			peers = append(peers, p)
		}
		peers[0].has.From, peers[0].prune = 1, 0
		w := newSim(t, 1, testBounds(), p, peers...)
		w.run(never)
		w.complete()
	}
}

// Peers that claim what they lack are asked for less and less, and cost nothing else.
func TestClaimsWithoutItems(t *testing.T) {
	const n = 5000
	peers := []*simPeer{honest(1, n)}
	for i := range 5 {
		p := honest(i+2, n)
		p.lacks = 1
		peers = append(peers, p)
	}
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), peers...)
	w.run(never)
	w.complete()
}

// Liars cost tries; as long as somebody is honest the run goes on.
func TestLiars(t *testing.T) {
	const n = 5000
	peers := []*simPeer{honest(1, n)}
	for i := range 5 {
		p := honest(i+2, n)
		p.lies = []float64{1, 0.5, 0.01, 0.001, 1}[i]
		peers = append(peers, p)
	}
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), peers...)
	w.run(never)
	w.complete()
	if w.reports[simID(1)] > 0 || w.reports[simID(2)] == 0 {
		t.Errorf("reports %v", w.reports)
	}
}

// With liars alone a height is given up after its tries.
func TestLiarsAlone(t *testing.T) {
	a, b := honest(1, 100), honest(2, 100)
	a.lies, b.lies = 1, 1
	w := newSim(t, 1, testBounds(), newPlan(1, 100, nil), a, b)
	w.run(never)
	if !w.broken || w.s.count.bad != uint64(w.s.cfg.tries) {
		t.Errorf("given up: %v, after %+v", w.broken, w.s.count)
	}
}

// One height in 1,000 fails once, over many heights: tries are forgotten with progress. Few peers, who all fail.
func TestTriesAreForgotten(t *testing.T) {
	n := uint64(longtest.Count(t, longtest.Ops, 50_000))
	failed := map[uint64]bool{}
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), honest(1, n), honest(2, n), honest(3, n))
	w.fails = func(h uint64) bool {
		if h%1000 != 0 || failed[h] {
			return false
		}
		failed[h] = true
		return true
	}
	w.run(never)
	w.complete()
	if uint64(len(failed)) != n/1000 || w.s.count.bad == 0 {
		t.Errorf("%d failed, %+v", len(failed), w.s.count)
	}
}

// All peers go and come back later: meanwhile it sleeps.
func TestAllGoneAndBack(t *testing.T) {
	const n = 20_000
	peers := []*simPeer{honest(1, n), honest(2, n)}
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), peers...)
	w.run(func() bool { return w.s.next > n/2 })
	for _, p := range peers {
		w.leave(p)
	}
	w.after(time.Hour, func() {
		for _, p := range peers {
			w.arrive(p)
		}
	})
	steps := w.steps
	w.run(func() bool { return len(w.s.peers) > 0 })
	if w.steps-steps > 5000 { // what was on its way, and what the verifier had
		t.Errorf("%d steps in an hour without peers", w.steps-steps)
	}
	w.run(never)
	w.complete()
}

// Peers below the target are asked again for their ranges, less and less often, until one has grown.
func TestPeersThatGrow(t *testing.T) {
	const n = 1000
	p, q := honest(1, n/2), honest(2, n/3)
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), p, q)
	w.after(10*time.Minute, func() { p.has.To = n })
	w.run(func() bool { return w.now.Sub(w.s.pollAt) > time.Hour || w.s.next == n/2 })
	asked := w.s.count.requests
	w.run(func() bool { return w.s.next > n/2 })
	if polls := w.s.count.requests - asked; polls < 20 || polls > 80 {
		t.Errorf("%d requests in ten minutes without what is next", polls)
	}
	w.run(never)
	w.complete()
	p.has.To = 5 // a restart with an older store is no misdeed, wherever it comes
	w.s.told(w.s.peers[0], p.has)
	if w.s.count.restarts != 1 || len(w.reports) > 0 {
		t.Errorf("%+v, %v", w.s.count, w.reports)
	}
}

// Items of all sizes keep to the window's bytes; empty ones are as good as others.
func TestBytes(t *testing.T) {
	for _, size := range []int{0, 100, 10_000, 1 << 20, 8 << 20} {
		n := uint64(max(100, min(20_000, 64<<20/(size+1)*4)))
		var peers []*simPeer
		for i := range 3 {
			p := honest(i, n)
			p.size = size
			peers = append(peers, p)
		}
		w := newSim(t, 1, testBounds(), newPlan(1, n, nil), peers...)
		w.verifying = 2 * time.Millisecond
		w.run(never)
		w.complete()
	}
}

// A peer's requests grow and shrink with its time to answer, whatever the bytes.
func TestBatchFollowsTime(t *testing.T) {
	const n = 300_000
	quick, slow := honest(1, n), honest(2, n)
	quick.each, slow.each = 10*time.Microsecond, 50*time.Millisecond
	w := newSim(t, 1, testBounds(), newPlan(1, n, nil), quick, slow)
	w.run(func() bool { return w.s.next > n/2 })
	q, s := w.s.peers[0], w.s.peers[1]
	if q.batch < 128 || s.batch > 40 || s.batch < 2 {
		t.Errorf("the quick peer is asked for %d heights, the slow one for %d", q.batch, s.batch)
	}
}

// Random worlds: peers of all kinds come and go, and the run is stopped anywhere and resumed. With one honest peer that
// has all, all is committed.
func TestRandomWorlds(t *testing.T) {
	rounds := longtest.Count(t, longtest.Ops, 60_000) / 1000
	first, asked := longtest.FromSeed(t)
	if asked {
		rounds = 1
	} else {
		first = 1
	}
	for seed := first; seed < first+uint64(rounds); seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { randomWorld(t, seed) })
	}
}

func randomWorld(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	n := uint64(1 + r.IntN(3000))
	from, to := uint64(1), n
	if r.IntN(2) == 0 {
		from, to = n, 1
	}
	cfg := testBounds()
	cfg.window = uint64(1 + r.IntN(300))
	cfg.windowBytes = int64(1 + r.IntN(1<<20))
	cfg.answerBytes = int64(1 + r.IntN(1<<16))
	cfg.batch = 1 + r.IntN(64)
	cfg.peerRequests = 1 + r.IntN(3)
	cfg.tries = 1 << 30
	maybe := func(p float64) float64 {
		if r.IntN(3) > 0 {
			return 0
		}
		return r.Float64() * p
	}
	peer := func(i int) *simPeer {
		p := honest(i, n)
		p.size, p.trip = r.IntN(2000), time.Duration(r.IntN(3000))*time.Millisecond
		p.each = time.Duration(r.IntN(20_000)) * time.Microsecond
		p.lies, p.mute, p.busy, p.lacks = maybe(1), maybe(1), maybe(1), maybe(0.2)
		p.has = Span{1 + uint64(r.IntN(int(n))), 1 + uint64(r.IntN(int(n)))}
		if r.IntN(4) == 0 {
			p.most = 1 + r.IntN(3)
		}
		if r.IntN(4) == 0 {
			p.prune = time.Duration(1+r.IntN(100)) * time.Millisecond
		}
		return p
	}
	stored := map[uint64]bool{}
	for len(stored) < int(n) {
		p := newPlan(from, to, spansOf(stored))
		w := newSim(t, seed, cfg, p, honest(0, n))
		for i := range r.IntN(8) {
			q := peer(i + 1)
			var arrive, leave func()
			arrive = func() {
				w.arrive(q)
				w.after(time.Duration(r.IntN(60_000))*time.Millisecond, leave)
			}
			leave = func() {
				w.leave(q)
				again := *q
				q = &again
				w.after(time.Duration(r.IntN(60_000))*time.Millisecond, arrive)
			}
			w.after(time.Duration(r.IntN(5000))*time.Millisecond, arrive)
		}
		stop := uint64(r.IntN(int(p.total))) + 1
		if r.IntN(3) == 0 {
			stop = p.total
		}
		w.run(func() bool { return uint64(len(w.done)) >= stop })
		if w.reports[simID(0)] > 0 {
			t.Fatal("the honest peer is reported")
		}
		for i, h := range w.done {
			if stored[h] || h != p.height(uint64(i)) {
				t.Fatalf("height %d is committed as number %d", h, i)
			}
			stored[h] = true
		}
	}
}

// spansOf are the runs of a set of heights.
func spansOf(stored map[uint64]bool) (out []Span) {
	var most uint64
	for h := range stored {
		most = max(most, h)
	}
	for h := uint64(0); h <= most; h++ {
		switch {
		case !stored[h]:
		case len(out) > 0 && out[len(out)-1].To == h-1:
			out[len(out)-1].To = h
		default:
			out = append(out, Span{h, h})
		}
	}
	return out
}
