package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// serial is a message that carries its number.
func serial(n uint64, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(b, n)
	return b
}

// inboxModel is what mailboxes should do, told simply: a list of messages a peer and channel.
type inboxModel struct {
	t        *rapid.T
	h        *Host
	channels []*Channel
	links    []*link // of each peer, the one that lives; nil: none
	old      []*link // another one of the same peer, as while a duplicate is under way
	waiting  [][][][]byte
	patience [][]int // receives on the channel since the peer's messages wait without a turn
	next     uint64
}

func (m *inboxModel) box(p int) *mailbox { return m.h.memory.boxes[testKey(p+1).ID()] }

// held is what peer p has waiting, and loose what of that is on channels that may lose messages.
func (m *inboxModel) held(p int) (held, loose int64) {
	for c, ch := range m.channels {
		for _, msg := range m.waiting[c][p] {
			held += cost(msg)
			if ch.desc.Overflow != muxer.Block {
				loose += cost(msg)
			}
		}
	}
	return held, loose
}

// over is what peer p's messages on channel c hold beyond their budget.
func (m *inboxModel) over(c, p int) int64 {
	var n int64
	for _, msg := range m.waiting[c][p] {
		n += cost(msg)
	}
	if len(m.waiting[c][p]) <= 1 {
		return 0
	}
	return max(n-int64(m.channels[c].desc.ReceiveQueue), 0)
}

// room says whether a message should be taken. used is the memory that is counted.
func (m *inboxModel) room(c, p int, msg []byte) room {
	used, limit := m.h.memory.used.Load(), m.h.memory.limit
	if held, _ := m.held(p); held > 0 {
		limit -= limit / 4
	}
	if used > 0 && used+cost(msg) > limit {
		return nodeFull
	}
	m.waiting[c][p] = append(m.waiting[c][p], msg)
	defer func() { m.waiting[c][p] = m.waiting[c][p][:len(m.waiting[c][p])-1] }()
	var excess int64
	for k := range m.channels {
		excess += m.over(k, p)
	}
	if m.over(c, p) > 0 && excess > m.h.cfg.Limits.PeerOverflow {
		return peerFull
	}
	return fits
}

// makeRoom checks that makeRoom cuts exactly who is to be cut, if anybody.
func (m *inboxModel) makeRoom(p int, need int64) (made bool) {
	held, _ := m.held(p)
	weight := func(q int) int64 {
		all, loose := m.held(q)
		if m.links[q] == nil && m.old[q] == nil {
			return all
		}
		return loose
	}
	victim, harmless := -1, true
	for q := range m.links {
		if victim < 0 || weight(q) > weight(victim) {
			victim = q
		}
	}
	if victim == p || weight(victim) <= held+need {
		victim, harmless = -1, false
		for q := range m.links {
			all, _ := m.held(q)
			if most, _ := m.held(max(victim, 0)); held == 0 && all > need && (victim < 0 || all > most) {
				victim = q
			}
		}
	}
	made = m.h.memory.makeRoom(m.box(p), need)
	if made != (victim >= 0) {
		m.t.Fatalf("room was made: %v, want to cut peer %d", made, victim)
	}
	if !made {
		return false
	}
	departed := m.links[victim] == nil && m.old[victim] == nil
	for c, ch := range m.channels {
		if !harmless || departed || ch.desc.Overflow != muxer.Block {
			m.waiting[c][victim], m.patience[c][victim] = nil, 0
		}
	}
	if !harmless {
		m.h.tasks.wg.Wait()
		for _, l := range []*link{m.links[victim], m.old[victim]} {
			if l == nil {
				continue
			}
			if code, _, closed := l.session.(*fakeSession).closed(); !closed || code != muxer.CodeOverflow {
				m.t.Fatalf("the link of a peer that was cut: closed %v, %v", closed, code)
			}
		}
	}
	return true
}

func (m *inboxModel) deliver() {
	c := rapid.IntRange(0, len(m.channels)-1).Draw(m.t, "channel")
	p := rapid.IntRange(0, len(m.links)-1).Draw(m.t, "peer")
	l := m.links[p]
	if m.old[p] != nil && rapid.Bool().Draw(m.t, "old link") {
		l = m.old[p]
	}
	if l == nil {
		return
	}
	for range rapid.IntRange(1, 5).Draw(m.t, "count") {
		m.next++
		msg := serial(m.next, rapid.IntRange(8, 3000).Draw(m.t, "size"))
		for {
			want := m.room(c, p, msg)
			taken, full := m.channels[c].deliver(l.box, peeringOf(l),
				[]muxer.Message{{Channel: m.channels[c].desc.ID, Data: msg}})
			if full != want || taken != 1 && full == fits || taken != 0 && full != fits {
				m.t.Fatalf("channel %d took %d messages of %d bytes of peer %d: %v, want %v", c, taken, len(msg), p,
					full, want)
			}
			if full == fits {
				m.waiting[c][p] = append(m.waiting[c][p], msg)
			}
			if full != nodeFull || !m.makeRoom(p, cost(msg)) {
				break
			}
		}
	}
}

func (m *inboxModel) receive() {
	c := rapid.IntRange(0, len(m.channels)-1).Draw(m.t, "channel")
	e, _, ok := m.channels[c].next(false)
	any := false
	for p := range m.links {
		any = any || len(m.waiting[c][p]) > 0
	}
	if ok != any {
		m.t.Fatalf("receive found a message: %v, want %v", ok, any)
	}
	for p := range m.links {
		if !ok || len(m.waiting[c][p]) == 0 {
			continue
		}
		if testKey(p+1).ID() != e.From {
			if m.patience[c][p]++; m.patience[c][p] >= len(m.links) {
				m.t.Fatalf("peer %d has waited while %d messages of others were received", p, m.patience[c][p])
			}
			continue
		}
		if !bytes.Equal(e.Message, m.waiting[c][p][0]) {
			m.t.Fatal("a message out of order")
		}
		m.waiting[c][p], m.patience[c][p] = m.waiting[c][p][1:], 0
	}
}

func (m *inboxModel) connect() {
	p := rapid.IntRange(0, len(m.links)-1).Draw(m.t, "peer")
	if m.old[p] != nil {
		return
	}
	m.old[p] = m.links[p]
	m.links[p], _ = testLink(m.h, p+1, muxer.Listener, true)
	m.h.links.all.Store(m.links[p].num, m.links[p])
}

func (m *inboxModel) disconnect() {
	p := rapid.IntRange(0, len(m.links)-1).Draw(m.t, "peer")
	which := m.links
	if m.old[p] != nil && rapid.Bool().Draw(m.t, "old link") {
		which = m.old
	}
	if which[p] == nil {
		return
	}
	m.h.links.all.Delete(which[p].num)
	m.h.memory.leave(which[p].box)
	which[p] = nil
}

// check compares all counters with the model.
func (m *inboxModel) check(t *rapid.T) {
	var freed, all int64
	for _, c := range m.channels {
		freed += c.freed
	}
	departed, alone := 0, 0
	for p := range m.links {
		held, loose := m.held(p)
		all += held
		box := m.box(p)
		gone := m.links[p] == nil && m.old[p] == nil
		if box == nil {
			if held > 0 || !gone {
				t.Fatalf("peer %d has no mailbox", p)
			}
			continue
		}
		if gone {
			departed++
		}
		var excess int64
		for c, ch := range m.channels {
			n := len(m.waiting[c][p])
			alone += n
			excess += m.over(c, p)
			if ib := box.inboxes[c]; ib == nil && n > 0 {
				t.Fatalf("no inbox for %d messages", n)
			} else if ib != nil && (len(ib.queue)-ib.head != n || ib.listed != (n > 0) || ib.bytes > 0 != (n > 0)) {
				t.Fatalf("an inbox has %d messages, want %d; listed %v", len(ib.queue)-ib.head, n, ib.listed)
			}
			if ready := len(ch.ready) - ch.first; ready < 0 || ready > len(m.links) {
				t.Fatalf("%d peers are listed", ready)
			}
		}
		if gone && held == 0 {
			t.Fatal("a mailbox is kept that nobody fills and nothing is in")
		}
		if box.bytes.Load() != held || box.loose.Load() != loose || box.excess.Load() != excess {
			t.Fatalf("a mailbox counts %d bytes, %d loose, %d beyond its budgets; want %d, %d, %d", box.bytes.Load(),
				box.loose.Load(), box.excess.Load(), held, loose, excess)
		}
	}
	used, most := m.h.memory.used.Load(), int64(len(m.channels))*m.h.memory.step
	if used != all+freed || freed < 0 || freed > most {
		t.Fatalf("%d bytes are counted, %d wait, %d are not given back yet", used, all, freed)
	}
	if m.h.memory.departed != departed {
		t.Fatalf("%d peers have left messages, %d are counted", departed, m.h.memory.departed)
	}
	if all > m.h.memory.limit && alone > 1 {
		t.Fatalf("%d messages hold %d bytes of %d", alone, all, m.h.memory.limit)
	}
}

// Random deliveries, receives, links that come, overlap and go, on channels of every policy: the inboxes do what the
// simple model does, after each step.
func TestInboxesDoWhatTheModelDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := testConfig()
		cfg.Limits.PeerOverflow = int64(rapid.IntRange(1, 8000).Draw(rt, "overflow"))
		cfg.Limits.MessageMemory = int64(rapid.IntRange(5000, 100_000).Draw(rt, "memory"))
		queue := func() int { return rapid.IntRange(100, 6000).Draw(rt, "queue") }
		h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: queue()},
			muxer.Channel{ID: 2, ReceiveQueue: queue(), Overflow: muxer.Drop},
			muxer.Channel{ID: 3, ReceiveQueue: queue(), Overflow: muxer.Disconnect},
			muxer.Channel{ID: 4, ReceiveQueue: queue()})
		const peers = 4
		m := &inboxModel{t: rt, h: h, channels: channels, links: make([]*link, peers), old: make([]*link, peers)}
		for range channels {
			m.waiting = append(m.waiting, make([][][]byte, peers))
			m.patience = append(m.patience, make([]int, peers))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) { m.t = t; m.deliver() }, "deliver too": func(t *rapid.T) {
				m.t = t
				m.deliver()
			},
			"receive": func(t *rapid.T) { m.t = t; m.receive() }, "receive too": func(t *rapid.T) {
				m.t = t
				m.receive()
			},
			"connect": func(t *rapid.T) { m.t = t; m.connect() }, "disconnect": func(t *rapid.T) {
				m.t = t
				m.disconnect()
			},
			"": m.check,
		})
		for c, ch := range channels { // all is received in the end
			for {
				e, _, ok := ch.next(false)
				if !ok {
					break
				}
				for p := range m.links {
					if testKey(p+1).ID() == e.From {
						m.waiting[c][p] = m.waiting[c][p][1:]
					}
				}
			}
		}
		m.check(rt)
		if used := h.memory.used.Load(); used != 0 {
			rt.Fatalf("%d bytes are counted after everything was received", used)
		}
	})
}

// Many links deliver, pause and are resumed, and several receivers receive, all at once, with budgets so small that
// they are always spent: nothing is lost, nobody is left waiting, and all counters return to zero.
func TestInboxesUnderConcurrentUse(t *testing.T) {
	for _, receivers := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d receivers", receivers), func(t *testing.T) {
			cfg := testConfig()
			cfg.Limits.PeerOverflow, cfg.Limits.MessageMemory = 50_000, 200_000
			h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: 1000},
				muxer.Channel{ID: 2, ReceiveQueue: 3000})
			const peers, each = 8, 2000
			var links []*link
			var senders, takers sync.WaitGroup
			for p := range peers {
				l, _ := testLink(h, p+1, muxer.Listener, true)
				peeringOf(l)
				links = append(links, l)
				senders.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(p), 1))
					numbers := [3]uint64{}
					for sent := 0; sent < each; {
						var msgs []muxer.Message
						for range 1 + rng.IntN(10) {
							ch := byte(1 + rng.IntN(2))
							msgs = append(msgs, muxer.Message{Channel: ch, Data: serial(numbers[ch], 8+rng.IntN(400))})
							numbers[ch]++
						}
						sent += len(msgs)
						if err := l.Deliver(context.Background(), msgs); err != nil {
							t.Error(err)
							return
						}
					}
					for i := range channels { // the last one of each channel says how many there were
						last := muxer.Message{Channel: byte(i + 1), Data: append(serial(numbers[i+1], 8), "end"...)}
						if err := l.Deliver(context.Background(), []muxer.Message{last}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var ended atomic.Int64
			for i := range channels {
				var mu sync.Mutex
				got := map[transport.NodeID]map[uint64]bool{}
				for range receivers {
					takers.Go(func() {
						for {
							e, err := channels[i].Receive(ctx)
							if err != nil {
								return
							}
							n := binary.BigEndian.Uint64(e.Message)
							mu.Lock()
							seen := got[e.From]
							if seen == nil {
								seen = map[uint64]bool{}
								got[e.From] = seen
							}
							if receivers == 1 && n != uint64(len(seen)) {
								t.Errorf("message %d came at place %d", n, len(seen))
							}
							if seen[n] {
								t.Errorf("message %d came twice", n)
							}
							seen[n] = true
							if bytes.HasSuffix(e.Message, []byte("end")) && ended.Add(1) == peers*int64(len(channels)) {
								cancel()
							}
							mu.Unlock()
						}
					})
				}
			}
			senders.Wait()
			takers.Wait()
			for _, c := range channels {
				for {
					if _, _, ok := c.next(false); !ok { // what other receivers had left when the last end came
						break
					}
				}
			}
			for p, l := range links {
				if n := l.box.excess.Load(); n != 0 {
					t.Errorf("link %d is charged %d bytes", p, n)
				}
			}
			if n := h.memory.used.Load(); n != 0 {
				t.Errorf("%d bytes are counted", n)
			}
			if h.pauses.Load() == 0 {
				t.Error("no link was ever paused: the test tests nothing")
			}
		})
	}
}

// Tiny messages, of which a remote can send millions, do not hold more memory than the budgets allow: the heap grows by
// no more than these, and an empty message counts.
func TestTinyMessagesAreCharged(t *testing.T) {
	const queue, overflow = 8 << 20, 4 << 20
	for name, size := range map[string]int{"empty": 0, "one byte": 1, "20 bytes": 20} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Limits.PeerOverflow = overflow
			h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: queue, Overflow: muxer.Drop})
			l, _ := testLink(h, 1, muxer.Listener, true)
			peeringOf(l)
			heap := func() int64 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before := heap()
			msgs := make([]muxer.Message, 100)
			for channels[0].dropped.Load() == 0 {
				for i := range msgs {
					msgs[i] = muxer.Message{Channel: 1, Data: make([]byte, size)}
				}
				if err := l.Deliver(t.Context(), msgs); err != nil {
					t.Fatal(err)
				}
			}
			grown := heap() - before
			if grown > queue+overflow {
				t.Errorf("the heap grew by %d bytes for budgets of %d", grown, queue+overflow)
			}
			if held := h.memory.used.Load(); held < grown {
				t.Errorf("%d bytes are charged, %d are held", held, grown)
			}
			runtime.KeepAlive(h)
		})
	}
}

// Strangers that come in turn, leave messages and go hold no more than the budget, whatever the size of their messages,
// and a node's own peers are heard all the same.
func TestStrangersThatLeaveHoldNoMoreThanTheBudget(t *testing.T) {
	for _, size := range []int{1, 300, 4 << 10, 64 << 10, 1 << 20} {
		for _, overflow := range []muxer.Overflow{muxer.Block, muxer.Drop, muxer.Disconnect} {
			t.Run(fmt.Sprintf("%d bytes, %v", size, overflow), func(t *testing.T) {
				const limit = 4 << 20
				cfg := testConfig()
				cfg.Limits.MessageMemory = limit
				h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: 2 << 20, Overflow: overflow})
				heap := func() int64 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return int64(m.HeapAlloc)
				}
				before := heap()
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // a paused link hangs up
				for n := range 48 + 2*mostDeparted*min(1, 4096/size) {
					l, _ := testLink(h, n+2, muxer.Listener, true)
					peeringOf(l)
					for range 1 + (1<<16)/(size+muxer.MessageOverhead) {
						if l.Deliver(ctx, []muxer.Message{{Channel: 1, Data: make([]byte, size)}}) != nil {
							break
						}
					}
					h.memory.leave(l.box)
				}
				if grown := heap() - before; grown > limit+mostDeparted<<9 {
					t.Errorf("the heap grew by %d bytes for a budget of %d", grown, limit)
				}
				l, _ := testLink(h, 1, muxer.Listener, true)
				peeringOf(l)
				if err := l.Deliver(ctx, []muxer.Message{{Channel: 1, Data: []byte("honest")}}); err != nil {
					t.Fatal(err)
				}
				for {
					e, _, ok := channels[0].next(false)
					if !ok {
						t.Fatal("the message of a peer that holds nothing was lost")
					}
					if e.From == l.peer {
						break
					}
				}
				runtime.KeepAlive(h)
			})
		}
	}
}

// A full inbox from which one message is received for each that comes does not move the others each time.
func BenchmarkFullInbox(b *testing.B) {
	h, channels := newTestHost(b, testConfig(), muxer.Channel{ID: 1, ReceiveQueue: 1 << 20})
	l, _ := testLink(h, 1, muxer.Listener, true)
	peeringOf(l)
	msgs := []muxer.Message{{Channel: 1, Data: make([]byte, 1)}}
	for l.box.excess.Load() == 0 {
		channels[0].deliver(l.box, peeringOf(l), msgs)
	}
	for b.Loop() {
		channels[0].next(false)
		if n, full := channels[0].deliver(l.box, peeringOf(l), msgs); n != 1 {
			b.Fatal(n, full)
		}
	}
}
