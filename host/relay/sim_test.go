package relay

import (
	"container/heap"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/internal/relaypb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// sim is a network of machines without hosts: messages take random times, in order on each link.
type sim struct {
	t      *testing.T
	rng    *rand.Rand
	now    int64
	nodes  []*simNode
	events eventHeap
	order  uint64
	delay  func() int64 // of a message
}

type simNode struct {
	sim      *sim
	index    int
	m        *machine
	links    map[uint64]*simLink // by the number that the node's machine knows
	byOther  map[*simNode]*simLink
	got      map[ID]int
	bodies   int
	wakes    int64 // the earliest wake-up that is planned; 0: none
	silent   bool  // takes requests, and never answers
	excluded []transport.NodeID
}

// simLink is one direction of a link: from its owner to the other.
type simLink struct {
	num      uint64 // what the other's machine calls the sender
	from, to *simNode
	last     int64 // arrival of the last message
	cut      bool
}

type event struct {
	at    int64
	order uint64
	do    func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

func newSim(t *testing.T, seed uint64, nodes int) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 0)), now: int64(time.Hour)}
	s.delay = func() int64 { return int64(10+s.rng.IntN(90)) * int64(time.Millisecond) }
	for i := range nodes {
		n := &simNode{sim: s, index: i}
		s.nodes = append(s.nodes, n)
		n.reset()
	}
	return s
}

func (n *simNode) reset() {
	n.m = newMachine(Config{}.withDefaults(), maphash.MakeSeed(), rand.New(rand.NewPCG(n.sim.rng.Uint64(), 0)))
	n.links, n.byOther, n.got = map[uint64]*simLink{}, map[*simNode]*simLink{}, map[ID]int{}
}

func (s *sim) after(d int64, do func()) {
	s.order++
	heap.Push(&s.events, event{s.now + d, s.order, do})
}

// link connects two nodes; a is the one that dialed.
func (s *sim) link(a, b *simNode) {
	if a == b || a.byOther[b] != nil {
		return
	}
	for _, e := range []struct{ from, to *simNode }{{a, b}, {b, a}} {
		s.order++
		l := &simLink{num: s.order, from: e.from, to: e.to}
		e.from.byOther[e.to] = l
	}
	for _, e := range []struct {
		at, other *simNode
		outbound  bool
	}{{a, b, true}, {b, a, false}} {
		num := e.other.byOther[e.at].num
		e.at.links[num] = e.at.byOther[e.other]
		e.at.m.peerUp(num, transport.NodeID(fmt.Sprint(e.other.index)), e.outbound, e.at.index%3 == 0)
		e.at.work()
	}
}

// cutLink ends a link.
func (s *sim) cutLink(a, b *simNode) {
	for _, e := range []struct{ at, other *simNode }{{a, b}, {b, a}} {
		if l := e.at.byOther[e.other]; l != nil {
			l.cut = true
			delete(e.at.byOther, e.other)
		}
	}
	for _, n := range []*simNode{a, b} {
		for num, l := range n.links {
			if l.cut {
				n.m.peerDown(num)
				delete(n.links, num)
			}
		}
		n.work()
	}
}

// work sends what a node has to send, and plans its next wake-up.
func (n *simNode) work() {
	s := n.sim
	for _, e := range n.m.takeEffects() {
		switch e.kind {
		case deliver:
			n.got[e.item.id]++
		case report:
			if e.deed.Severity >= host.Disconnect {
				n.excluded = append(n.excluded, e.from)
			}
		}
	}
	n.m.begin(s.now)
	for p := n.m.nextPeer(); p != nil; p = n.m.nextPeer() {
		for msg := n.m.next(p, s.now); msg != nil; msg = n.m.next(p, s.now) {
			n.links[p.num].send(msg)
		}
	}
	if at, ok := n.m.due(); ok && (n.wakes == 0 || at < n.wakes || n.wakes <= s.now) {
		n.wakes = at
		s.after(at-s.now, func() { n.work() })
	}
}

// send lets a message arrive later.
func (l *simLink) send(b []byte) {
	s := l.from.sim
	l.last = max(l.last, s.now+s.delay())
	s.after(l.last-s.now, func() {
		if !l.cut {
			l.to.take(l.num, b)
		}
	})
}

// take gives a message to the machine, as reader does.
func (n *simNode) take(from uint64, b []byte) {
	p := n.m.peers[from]
	if p == nil {
		return
	}
	var msg relaypb.Message
	if err := msg.Decode(b); err != nil {
		n.sim.t.Fatal(err)
	}
	var ids []ID
	for b := msg.IDs; len(b) > 0; b = b[32:] {
		ids = append(ids, ID(b[:32]))
	}
	switch msg.Kind {
	case relaypb.KindAnnounce:
		n.m.announced(p, ids, msg.Sizes, msg.More)
	case relaypb.KindMore:
		n.m.moreWanted(p)
	case relaypb.KindRequest:
		if n.silent {
			return
		}
		n.m.requested(p, ids)
	case relaypb.KindMissing:
		n.m.missing(p, msg.Count)
	case relaypb.KindItems:
		for _, body := range msg.Items {
			n.bodies++
			if r := n.m.claim(p, len(body)); r != nil {
				n.m.received(r, IDOf(body), body, nil)
			}
		}
	case relaypb.KindPush:
		for _, body := range msg.Items {
			n.bodies++
			n.m.pushed(p, IDOf(body), body)
		}
	}
	n.work()
}

// run lets d pass.
func (s *sim) run(d time.Duration) {
	end := s.now + int64(d)
	for len(s.events) > 0 && s.events[0].at <= end {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
	s.now = end
}

func (n *simNode) publish(body []byte) ID {
	id := IDOf(body)
	n.m.publish(id, body)
	n.work()
	return id
}

// graph links every node to some before it, so that the network is connected, of about that degree.
func (s *sim) graph(degree int) {
	for i, n := range s.nodes[1:] {
		for range min(degree/2, i+1) {
			s.link(n, s.nodes[s.rng.IntN(i+1)])
		}
	}
}

// TestSpread: in random networks of machines every item reaches every node, once, at about a body a node; also when
// some nodes announce first and stay silent, and while links are cut and made anew.
func TestSpread(t *testing.T) {
	networks := uint64(3)
	if longtest.Long() {
		networks = 300
	}
	for seed := range networks {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSim(t, seed, 40)
			s.graph(8)
			silent, cuts := seed%3 == 1, seed%3 == 2
			if silent { // at most a few, and all others stay connected without them
				for _, n := range s.nodes[len(s.nodes)-4:] {
					n.silent = true
				}
			}
			var ids []ID
			for range 200 {
				size := 1 + s.rng.IntN(2000)
				if s.rng.IntN(10) == 0 {
					size = maxPush + 1 + s.rng.IntN(60<<10)
				}
				body := random(s.rng, size)
				ids = append(ids, s.nodes[s.rng.IntN(30)].publish(body))
				s.run(time.Duration(s.rng.IntN(50)) * time.Millisecond)
				if cuts && s.rng.IntN(10) == 0 {
					a := s.nodes[1+s.rng.IntN(39)]
					b := s.nodes[s.rng.IntN(a.index)]
					s.cutLink(a, b)
					s.after(s.delay(), func() { s.link(a, b) })
				}
			}
			s.run(30 * time.Second)
			bodies, deliveries := 0, 0
			for _, n := range s.nodes {
				for _, id := range ids {
					if n.got[id] != 1 {
						t.Fatalf("node %d got %v %d times", n.index, id, n.got[id])
					}
				}
				bodies += n.bodies
				deliveries += len(ids)
				if len(n.excluded) > 0 {
					t.Errorf("node %d would end links for misdeeds", n.index)
				}
				if len(n.m.wants) > 0 || len(n.m.timers) > 0 {
					t.Errorf("node %d still wants %d, with %d timers", n.index, len(n.m.wants), len(n.m.timers))
				}
			}
			each := float64(bodies) / float64(deliveries-len(ids))
			most := 1.02
			if cuts { // what is on its way when a link is cut is lost
				most = 1.1
			}
			if t.Logf("%.4f bodies a node", each); each > most {
				t.Errorf("%.4f bodies a node, want %.2f at most", each, most)
			}
		})
	}
}

// TestRestart: a node that has forgotten everything gets it again.
func TestRestart(t *testing.T) {
	s := newSim(t, 1, 10)
	s.graph(6)
	var ids []ID
	for range 50 {
		ids = append(ids, s.nodes[0].publish(random(s.rng, 1+s.rng.IntN(10_000))))
	}
	s.run(10 * time.Second)
	n := s.nodes[5]
	var others []*simNode
	for o := range n.byOther {
		others = append(others, o)
	}
	slices.SortFunc(others, func(a, b *simNode) int { return a.index - b.index })
	for _, o := range others {
		s.cutLink(n, o)
	}
	n.reset()
	for _, o := range others {
		s.link(n, o)
	}
	s.run(10 * time.Second)
	for _, id := range ids {
		if n.got[id] != 1 {
			t.Errorf("%v came %d times", id, n.got[id])
		}
	}
	for _, o := range s.nodes {
		for id, times := range o.got {
			if times != 1 {
				t.Errorf("node %d got %v %d times", o.index, id, times)
			}
		}
	}
}

// TestCatchUp: a node that comes late, or that hears of too much at once, gets all that its peers keep, though far
// fewer announcements may wait.
func TestCatchUp(t *testing.T) {
	s := newSim(t, 1, 4)
	a, b, c, late := s.nodes[0], s.nodes[1], s.nodes[2], s.nodes[3]
	s.link(b, a)
	s.link(c, b)
	var ids []ID
	for range 3 * maxWaiting { // all at once, and too large to be pushed
		ids = append(ids, a.publish(append(random(s.rng, 8), make([]byte, maxPush)...)))
	}
	s.run(2 * time.Minute)
	s.link(late, b)
	s.run(2 * time.Minute)
	for _, n := range s.nodes {
		if len(n.got) != len(ids) || len(n.m.wants) != 0 || len(n.excluded) != 0 {
			t.Errorf("node %d has %d of %d, and wants %d; %+v", n.index, len(n.got), len(ids), len(n.m.wants),
				n.m.stats)
		}
	}
	if b.m.stats.Cut == 0 || late.m.stats.Cut != 0 {
		t.Errorf("cut: %d and %d", b.m.stats.Cut, late.m.stats.Cut)
	}
}
