package relay

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/internal/relaypb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// model drives one machine with random events, and keeps beside it what a simple reading of the protocol says.
type model struct {
	t     *testing.T
	rng   *rand.Rand
	m     *machine
	now   int64
	num   uint64
	peers map[uint64]*modelPeer
	live  []*modelPeer
	items []*modelItem
	byID  map[ID]*modelItem

	delivered map[ID]int
	judging   []ID
	ops       []string // the last ones
}

type modelItem struct {
	id      ID
	body    []byte
	refused bool
}

// modelPeer is what the model knows of a peer.
type modelPeer struct {
	num        uint64
	credit     map[ID]int // announcements that no request has used
	requests   []ID       // of the machine, unanswered, in order
	sizes      []int      // that were announced for them
	said       map[ID]int // the size that it announced last
	told       map[ID]bool
	asked      []ID // its own requests, unanswered, in order
	full       bool
	misdeeds   int
	disconnect bool
}

func newModel(t *testing.T, seed uint64, validates bool) *model {
	rng := rand.New(rand.NewPCG(seed, 1))
	cfg := Config{MaxItem: 2 << 20, Keep: 4 << 20}.withDefaults()
	w := &model{t: t, rng: rng, peers: map[uint64]*modelPeer{}, byID: map[ID]*modelItem{}, delivered: map[ID]int{},
		now: int64(time.Hour)}
	w.m = newMachine(cfg, maphash.MakeSeed(), rand.New(rand.NewPCG(seed, 2)))
	w.m.validates = validates
	for i := range 200 {
		n := 1 + rng.IntN(100)
		switch rng.IntN(20) {
		case 0:
			n = maxPush + 1 + rng.IntN(60<<10)
		case 1:
			n = 700<<10 + rng.IntN(700<<10)
		}
		body := make([]byte, n)
		binary.LittleEndian.PutUint32(append(body[:0:0], make([]byte, 4)...), uint32(i))
		for j := range min(n, 16) {
			body[j] = byte(rng.Uint32())
		}
		it := &modelItem{IDOf(body), body, validates && i%5 == 0}
		w.items = append(w.items, it)
		w.byID[it.id] = it
	}
	return w
}

func (w *model) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nthe last operations: %q", fmt.Sprintf(format, args...), w.ops)
}

func (w *model) op(format string, args ...any) {
	if len(w.ops) > 20 {
		w.ops = w.ops[1:]
	}
	w.ops = append(w.ops, fmt.Sprintf(format, args...))
}

// peer returns a random one; nil if there is none.
func (w *model) peer() *modelPeer {
	if len(w.live) == 0 {
		return nil
	}
	return w.live[w.rng.IntN(len(w.live))]
}

func (w *model) item() *modelItem { return w.items[w.rng.IntN(len(w.items))] }

// step does one random thing.
func (w *model) step() {
	p := w.peer()
	switch n := w.rng.IntN(100); {
	case p == nil || n < 1 && len(w.live) < 8:
		w.up()
	case n < 2:
		w.down(p)
	case n < 30:
		w.announce(p)
	case n < 60:
		w.answer(p)
	case n < 65:
		w.request(p)
	case n < 68:
		w.push(p)
	case n < 70:
		it := w.item()
		w.op("publish %.8v", it.id)
		if _, had := w.delivered[it.id]; !had && !w.judges(it.id) {
			w.m.publish(it.id, it.body)
		}
	case n < 74:
		w.now += int64(w.rng.IntN(3000)) * int64(time.Millisecond)
		w.op("later")
	case n < 80:
		w.verdict()
	case n < 81:
		w.op("%d asks for more", p.num)
		w.m.moreWanted(w.m.peers[p.num])
	case n < 83 && p.full:
		w.op("%d has room", p.num)
		p.full = false
		w.m.room(w.m.peers[p.num])
	}
	if w.rng.IntN(3) == 0 {
		w.flush()
	}
	w.effects()
}

func (w *model) judges(id ID) bool { return slices.Contains(w.judging, id) }

func (w *model) up() {
	w.num++
	p := &modelPeer{num: w.num, credit: map[ID]int{}, said: map[ID]int{}, told: map[ID]bool{}}
	w.peers[p.num] = p
	w.live = append(w.live, p)
	w.op("%d up", p.num)
	w.m.peerUp(p.num, transport.NodeID(fmt.Sprint(p.num)), w.rng.IntN(2) == 0, w.rng.IntN(4) == 0)
}

func (w *model) down(p *modelPeer) {
	w.op("%d down", p.num)
	w.m.peerDown(p.num)
	delete(w.peers, p.num)
	w.live = slices.DeleteFunc(w.live, func(o *modelPeer) bool { return o == p })
}

func (w *model) announce(p *modelPeer) {
	var ids []ID
	var sizes []uint32
	for range 1 + w.rng.IntN(20) {
		it := w.item()
		n := len(it.body)
		if w.rng.IntN(20) == 0 { // a lie
			n = 1 + w.rng.IntN(1<<20)
		}
		ids, sizes = append(ids, it.id), append(sizes, uint32(n))
		p.credit[it.id]++
		p.said[it.id] = n
	}
	w.op("%d announces %d", p.num, len(ids))
	w.m.announced(w.m.peers[p.num], ids, sizes, w.rng.IntN(10) == 0)
}

// answer lets a peer answer its oldest request: well, or in one of the wrong ways.
func (w *model) answer(p *modelPeer) {
	mp := w.m.peers[p.num]
	if len(p.requests) == 0 {
		if w.rng.IntN(10) == 0 {
			w.op("%d sends what nobody wants", p.num)
			before := w.m.stats.Unrequested
			if r := w.m.claim(mp, 10); r != nil || w.m.stats.Unrequested != before+1 {
				w.failf("an item without a request was claimed")
			}
		}
		return
	}
	id, size := p.requests[0], p.sizes[0]
	p.requests, p.sizes = p.requests[1:], p.sizes[1:]
	it := w.byID[id]
	n := w.rng.IntN(10)
	if n == 0 {
		w.op("%d lacks %.8v", p.num, id)
		w.m.missing(mp, 1)
		return
	}
	body := it.body
	if n == 1 && size == len(body) { // garbage of the right size
		body = slices.Clone(body)
		body[0]++
	}
	w.op("%d brings %.8v, %d bytes of %d", p.num, id, len(body), size)
	lies := w.m.stats.Lies
	r := w.m.claim(mp, len(body))
	if len(body) != size {
		if r != nil || w.m.stats.Lies != lies+1 {
			w.failf("a lie about the size was not noticed")
		}
		return
	}
	if r == nil {
		if w.delivered[id] == 0 && !it.refused && !w.judges(id) {
			w.failf("the body of %.8v was not wanted", id)
		}
		return
	}
	if r.id != id {
		w.failf("the answer to %.8v was taken for that to %.8v", id, r.id)
	}
	w.m.received(r, IDOf(body), body, nil)
}

func (w *model) request(p *modelPeer) {
	var ids []ID
	for range 1 + w.rng.IntN(5) {
		if len(p.asked)+len(ids) < maxInFlight {
			ids = append(ids, w.item().id)
		}
	}
	if len(ids) == 0 {
		return
	}
	w.op("%d requests %d", p.num, len(ids))
	p.asked = append(p.asked, ids...)
	w.m.requested(w.m.peers[p.num], ids)
}

func (w *model) push(p *modelPeer) {
	if it := w.item(); len(it.body) <= maxPush {
		w.op("%d pushes %.8v", p.num, it.id)
		p.credit[it.id]++ // if it has no room, it counts as announced
		p.said[it.id] = len(it.body)
		w.m.pushed(w.m.peers[p.num], it.id, it.body)
	}
}

func (w *model) verdict() {
	if len(w.judging) == 0 {
		return
	}
	i := w.rng.IntN(len(w.judging))
	id := w.judging[i]
	w.judging = slices.Delete(w.judging, i, i+1)
	v := accepted
	if w.byID[id].refused {
		v = refused
	} else if w.rng.IntN(5) == 0 {
		v = postponed
	}
	w.op("verdict %d on %.8v", v, id)
	w.m.judged(id, v, "so")
}

// effects does what the machine wants done.
func (w *model) effects() {
	for _, e := range w.m.takeEffects() {
		switch e.kind {
		case deliver:
			if w.delivered[e.item.id]++; w.delivered[e.item.id] > 1 {
				w.failf("%.8v was delivered twice", e.item.id)
			}
			if e.from != "" && w.byID[e.item.id].refused {
				w.failf("%.8v was delivered, though refused", e.item.id)
			}
		case judge:
			if w.judges(e.id) {
				w.failf("%.8v is judged twice at once", e.id)
			}
			w.judging = append(w.judging, e.id)
		case report:
			num, _ := strconv.ParseUint(string(e.from), 10, 64)
			if p := w.peers[num]; p != nil {
				p.misdeeds++
				p.disconnect = p.disconnect || e.deed.Severity >= host.Disconnect
			}
		}
	}
	for _, p := range slices.Clone(w.live) {
		if p.disconnect {
			w.down(p)
		}
	}
}

// flush takes all messages, and judges them.
func (w *model) flush() {
	w.m.begin(w.now)
	for mp := w.m.nextPeer(); mp != nil; mp = w.m.nextPeer() {
		p := w.peers[mp.num]
		if p == nil || p.full {
			w.failf("a message for peer %d, which takes none", mp.num)
		}
		for msg := w.m.next(mp, w.now); msg != nil; msg = w.m.next(mp, w.now) {
			w.sent(p, msg)
			if w.rng.IntN(10) == 0 {
				p.full = true
				mp.full()
				break
			}
		}
	}
	w.check()
}

// sent judges a message of the machine.
func (w *model) sent(p *modelPeer, b []byte) {
	var msg relaypb.Message
	if err := msg.Decode(b); err != nil {
		w.failf("our own message: %v", err)
	}
	switch msg.Kind {
	case relaypb.KindRequest:
		for ids := msg.IDs; len(ids) > 0; ids = ids[32:] {
			id := ID(ids[:32])
			if p.credit[id]--; p.credit[id] < 0 {
				w.failf("%.8v is requested of %d without an announcement", id, p.num)
			}
			p.requests = append(p.requests, id)
		}
		// What was announced for each is in the machine: an answer is judged by it.
		p.sizes = p.sizes[:0]
		for _, r := range w.m.peers[p.num].inFlight[:len(p.requests)] {
			if r.id != p.requests[len(p.sizes)] {
				w.failf("the requests of %d are in another order than sent", p.num)
			}
			p.sizes = append(p.sizes, int(r.size))
		}
	case relaypb.KindAnnounce:
		for i := range msg.Sizes {
			id := ID(msg.IDs[32*i:])
			if p.told[id] = true; w.delivered[id] == 0 && !w.pending(id) || int(msg.Sizes[i]) != len(w.byID[id].body) {
				w.failf("%.8v is announced with %d bytes", id, msg.Sizes[i])
			}
		}
	case relaypb.KindPush:
		for _, body := range msg.Items {
			p.told[IDOf(body)] = true
			if len(body) > maxPush {
				w.failf("a push of %d bytes", len(body))
			}
		}
	case relaypb.KindItems:
		for _, body := range msg.Items {
			if len(p.asked) == 0 || p.asked[0] != IDOf(body) || !p.told[p.asked[0]] {
				w.failf("%d gets %.8v, which it has not requested next, or not been told of", p.num, IDOf(body))
			}
			p.asked = p.asked[1:]
		}
	case relaypb.KindMissing:
		for range msg.Count {
			if p.told[p.asked[0]] && w.m.shelf.items[w.m.key(p.asked[0])] != nil {
				w.failf("%d is not served %.8v, of which it was told", p.num, p.asked[0])
			}
			p.asked = p.asked[1:]
		}
	}
}

// pending reports whether a delivery waits in the machine's effects.
func (w *model) pending(id ID) bool {
	return slices.ContainsFunc(w.m.effects, func(e effect) bool { return e.kind == deliver && e.item.id == id })
}

// check compares the machine's books with what they must add up to.
func (w *model) check() {
	m := w.m
	waiting, judged, asked := map[*peer]int{}, map[*peer]int{}, 0
	flying := map[*peer]int64{}
	for id, n := range m.wants {
		if n.id != id || m.finished(n.key) || n.state == wantOver {
			w.failf("want %.8v is finished", id)
		}
		for _, s := range n.sources {
			waiting[s.peer]++
			if n.state == wantIdle && !s.peer.gone && !s.inLine {
				w.failf("want %.8v is idle, and not in the line of %d", id, s.peer.num)
			}
		}
		switch n.state {
		case wantIdle:
			if len(n.sources) == 0 {
				w.failf("want %.8v is idle without a source", id)
			}
		case wantAsked:
			if asked++; n.request == nil || n.request.want != n || n.request.place < 0 {
				w.failf("want %.8v has no request", id)
			}
		case wantJudged:
			judged[n.holder]++
			flying[n.holder] += n.heldSize
		}
	}
	if asked != len(m.timers) {
		w.failf("%d requests have a timer, %d wants are asked for", len(m.timers), asked)
	}
	for _, p := range m.order {
		for _, r := range p.inFlight {
			flying[p] += int64(r.size)
		}
		for _, n := range p.line {
			i := n.find(p)
			if n.state != wantIdle || i < 0 || !n.sources[i].inLine {
				continue
			}
			if p.hasRoom(int64(n.sources[i].size)) {
				w.failf("want %.8v is the first in the line of %d, which has room", n.id, p.num)
			}
			break
		}
		if p.busy != len(p.inFlight)+judged[p] || p.flying != flying[p] || p.waiting != waiting[p] {
			w.failf("peer %d: busy %d, %d in flight, %d judged; flying %d of %d; waiting %d of %d", p.num, p.busy,
				len(p.inFlight), judged[p], p.flying, flying[p], p.waiting, waiting[p])
		}
		if p.busy > maxInFlight || p.waiting > maxWaiting || p.flying > maxFlying && p.busy > 1 {
			w.failf("peer %d is beyond a limit: %d busy, %d bytes, %d waiting", p.num, p.busy, p.flying, p.waiting)
		}
	}
	var unjudged int64
	for _, n := range m.wants {
		if n.state == wantJudged {
			unjudged += n.heldSize
		}
	}
	if unjudged != m.unjudged {
		w.failf("%d bytes are to be judged, the machine counts %d", unjudged, m.unjudged)
	}
	var bytes int64
	for _, it := range m.shelf.items {
		bytes += int64(len(it.body))
	}
	if bytes != m.shelf.bytes || bytes > m.shelf.mostSize && len(m.shelf.items) > 1 {
		w.failf("the shelf has %d bytes of %d", bytes, m.shelf.bytes)
	}
}

// TestModel drives machines with random events.
func TestModel(t *testing.T) {
	const each = 10_000
	first, ops := uint64(longtest.Count(t, longtest.Seed, 1)), longtest.Count(t, longtest.Ops, 6*each)
	for seed := first; seed < first+uint64(max(ops/each, 1)); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newModel(t, seed, seed%2 == 1)
			for range each {
				w.step()
			}
		})
	}
}
