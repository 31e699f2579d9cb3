package backfill

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// sim plays the world around a scheduler: peers that answer, lie, prune, come and go, and a verifier, on a clock of its
// own. It checks what must hold after each step.
type sim struct {
	t     *testing.T
	rand  *rand.Rand
	s     *scheduler
	now   time.Time
	due   simHeap
	order int
	peers map[transport.NodeID]*simPeer

	verifying time.Duration // of one height
	busy      bool          // the verifier is at work
	taken     []work        // what it has got
	done      []uint64      // heights, in the order in which they were committed
	fails     func(height uint64) bool
	reports   map[transport.NodeID]int // bad items
	lacked    map[*peer]uint64         // the highest height that a peer has lacked although it claims to have it
	steps     int
	broken    bool // a height was given up
}

// simPeer is a peer of a sim.
type simPeer struct {
	id    transport.NodeID
	has   Span
	size  int           // of an item
	trip  time.Duration // there and back
	each  time.Duration // for each height
	free  time.Time     // when it has answered all so far
	lies  float64       // share of bad items
	mute  float64       // share of requests without an answer
	busy  float64       // share of requests that are refused
	lacks float64       // share of answers without items, although it claims to have them
	most  int           // items of an answer; 0: any
	prune time.Duration // between two heights that it prunes; 0: never
}

type simEvent struct {
	at    time.Time
	order int
	fn    func()
}

type simHeap []simEvent

func (h simHeap) Len() int { return len(h) }
func (h simHeap) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].order < h[j].order
}
func (h simHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *simHeap) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *simHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func testBounds() schedulerConfig {
	c := Config{}.withDefaults()
	return c.scheduler()
}

func newSim(t *testing.T, seed uint64, cfg schedulerConfig, p plan, peers ...*simPeer) *sim {
	w := &sim{t: t, rand: rand.New(rand.NewPCG(seed, 7)), s: newScheduler(cfg, p),
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), peers: map[transport.NodeID]*simPeer{},
		verifying: 10 * time.Microsecond, reports: map[transport.NodeID]int{}, lacked: map[*peer]uint64{}}
	for _, p := range peers {
		w.arrive(p)
	}
	return w
}

func (w *sim) after(d time.Duration, fn func()) {
	w.order++
	heap.Push(&w.due, simEvent{w.now.Add(d), w.order, fn})
}

func (w *sim) arrive(p *simPeer) {
	w.peers[p.id] = p
	p.free = w.now
	w.s.up(w.now, p.id)
	if p.prune > 0 {
		var prune func()
		prune = func() {
			if w.peers[p.id] == p && !w.s.done() {
				p.has.From++
				w.after(p.prune, prune)
			}
		}
		w.after(p.prune, prune)
	}
}

func (w *sim) leave(p *simPeer) {
	delete(w.peers, p.id)
	w.s.down(p.id)
}

// itemOf is the item of a height.
func itemOf(height uint64, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(b, height)
	return b
}

// run runs until all is committed, or until stop says so. It fails if nothing happens any more.
func (w *sim) run(stop func() bool) {
	w.t.Helper()
	for !w.s.done() && !w.broken && !stop() {
		if w.steps++; w.steps > 200_000_000 {
			w.t.Fatal("it takes too many steps")
		}
		w.verify()
		asks, wake := w.s.decide(w.now)
		for _, a := range asks {
			w.ask(a)
		}
		w.check(asks)
		if len(w.due) > 0 && (wake.IsZero() || !w.due[0].at.After(wake)) {
			e := heap.Pop(&w.due).(simEvent)
			w.now = e.at
			e.fn()
		} else if !wake.IsZero() {
			if !wake.After(w.now) {
				w.t.Fatalf("it wants to be woken at %v, at %v", wake, w.now)
			}
			w.now = wake
		} else {
			w.t.Fatalf("it stands still at position %d of %d, with %d peers, at %v", w.s.next, w.s.plan.total,
				len(w.s.peers), w.now)
		}
	}
}

func never() bool { return false }

// verify lets the verifier begin, if it has nothing to do.
func (w *sim) verify() {
	if w.busy {
		return
	}
	w.taken = w.s.take(64)
	if len(w.taken) == 0 {
		return
	}
	w.busy = true
	good := 0
	for good < len(w.taken) && slices.Equal(w.taken[good].item[:8], itemOf(w.taken[good].height, 8)) {
		good++
	}
	bad := good < len(w.taken)
	w.after(time.Duration(good+1)*w.verifying, func() {
		w.busy = false
		for _, k := range w.taken[:good] {
			w.done = append(w.done, k.height)
		}
		w.s.committed(good)
		if bad {
			from, again := w.s.rejected(w.now)
			w.reports[from]++
			w.broken = !again
		}
	})
}

// ask lets a peer answer.
func (w *sim) ask(a ask) {
	p := w.peers[a.peer]
	if p == nil {
		w.t.Fatalf("%s is asked, and not there", a.peer)
	}
	r := w.s.requests[a.request]
	if a.count > 0 && a.height <= w.lacked[r.peer] && w.lacked[r.peer] > 0 {
		w.t.Fatalf("%s is asked for height %d, and has lacked %d", a.peer, a.height, w.lacked[r.peer])
	}
	if w.rand.Float64() < p.mute {
		w.after(time.Minute, func() { w.s.failed(w.now, a.request, false) })
		return
	}
	if w.rand.Float64() < p.busy {
		w.after(p.trip, func() { w.s.refused(w.now, a.request, false) })
		return
	}
	var items [][]byte
	size := int64(0)
	lacks := w.rand.Float64() < p.lacks
	for i := range a.count {
		h := a.height + i
		if w.s.plan.down {
			h = a.height - i
		}
		if !p.has.Has(h) || lacks || p.most > 0 && len(items) == p.most {
			break
		}
		item := itemOf(h, p.size)
		if w.rand.Float64() < p.lies || w.fails != nil && w.fails(h) {
			item[0] ^= 0x80
		}
		if size += int64(len(item)); i > 0 && size > a.bytes {
			break
		}
		items = append(items, item)
	}
	if p.free.Before(w.now.Add(p.trip)) {
		p.free = w.now.Add(p.trip)
	}
	p.free = p.free.Add(time.Duration(max(len(items), 1)) * p.each)
	has := p.has
	w.after(p.free.Sub(w.now), func() {
		if w.s.requests[a.request] == r && a.count > 0 && len(items) == 0 && has.Has(a.height) {
			w.lacked[r.peer] = max(w.lacked[r.peer], a.height)
		}
		if !w.s.answered(w.now, a.request, items, has) {
			w.t.Fatal("an answer has too many items")
		}
	})
}

// check checks what must hold after decide.
func (w *sim) check(asks []ask) {
	s := w.s
	for _, a := range asks {
		r := s.requests[a.request]
		if a.count > 0 && (r.first < s.next || r.first+r.count > s.next+uint64(len(s.slots))) {
			w.t.Fatalf("positions %d to %d are asked for, with %d next and a window of %d", r.first, r.first+r.count-1,
				s.next, len(s.slots))
		}
		if a.count > 0 && (s.plan.height(r.first) != a.height || s.plan.run(r.first) < a.count) {
			w.t.Fatalf("%d heights from %d on are not one run of the plan", a.count, a.height)
		}
	}
	if w.steps%64 != 0 && s.plan.total > 1000 {
		return // the rest is slow
	}
	var held, reserved int64
	largest := int64(0)
	asked := map[uint64]int8{}
	for _, r := range s.requests {
		if r.released {
			continue
		}
		reserved += r.bytes
		for pos := max(r.first, s.next); pos < r.first+r.count; pos++ {
			asked[pos]++
		}
	}
	for pos := s.next; pos < s.end(); pos++ {
		sl := s.slot(pos)
		if sl.held {
			held += int64(len(sl.item)) + itemCost
			largest = max(largest, int64(len(sl.item)))
		}
		if sl.asked != asked[pos] || sl.asked > 2 || sl.asked < 0 {
			w.t.Fatalf("position %d is asked for %d times by the slot, %d by the requests", pos, sl.asked, asked[pos])
		}
		if !sl.held && sl.asked == 0 && pos < s.low {
			w.t.Fatalf("position %d is wanted, below %d", pos, s.low)
		}
	}
	if held != s.held || reserved != s.reserved {
		w.t.Fatalf("%d bytes are held and %d reserved, by its counts %d and %d", held, reserved, s.held, s.reserved)
	}
	// Each answer may have one item, however large.
	slack := 2 * int64(len(s.peers)*s.cfg.peerRequests+1) * (largest + itemCost + 4096)
	if held+reserved > s.cfg.windowBytes+slack {
		w.t.Fatalf("%d bytes are ahead of the verifier, of %d", held+reserved, s.cfg.windowBytes)
	}
}

// complete checks that all heights were committed, once each, in order.
func (w *sim) complete() {
	w.t.Helper()
	if uint64(len(w.done)) != w.s.plan.total {
		w.t.Fatalf("%d heights were committed, of %d", len(w.done), w.s.plan.total)
	}
	for i, h := range w.done {
		if want := w.s.plan.height(uint64(i)); h != want {
			w.t.Fatalf("commit %d is of height %d, want %d", i, h, want)
		}
	}
}

func simID(i int) transport.NodeID { return transport.NodeID(fmt.Sprintf("%040d", i)) }

// honest is a good peer with all heights up to to.
func honest(i int, to uint64) *simPeer {
	return &simPeer{id: simID(i), has: Span{1, to}, size: 100, trip: 20 * time.Millisecond,
		each: 100 * time.Microsecond}
}
