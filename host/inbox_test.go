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

// inboxModel is what inboxes should do, told simply: a list of messages a peer and channel.
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

func (m *inboxModel) inbox(c, p int) *inbox {
	return m.channels[c].inboxes[testKey(p+1).ID()]
}

func (m *inboxModel) held() (n int64) {
	for c := range m.waiting {
		for p := range m.waiting[c] {
			for _, msg := range m.waiting[c][p] {
				n += cost(msg)
			}
		}
	}
	return n
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

// fits says whether a message should be taken: an empty inbox takes anything; else the node's memory must hold it, and
// what is beyond the budgets of the inboxes that this link fills must fit the reserve. used is the memory that is
// counted.
func (m *inboxModel) fits(c, p int, l *link, used int64, msg []byte) bool {
	if len(m.waiting[c][p]) == 0 {
		return true
	}
	if used+cost(msg) > m.h.memory.limit {
		return false
	}
	m.waiting[c][p] = append(m.waiting[c][p], msg)
	defer func() { m.waiting[c][p] = m.waiting[c][p][:len(m.waiting[c][p])-1] }()
	if m.over(c, p) == 0 {
		return true
	}
	var excess int64
	for k := range m.channels {
		if ib := m.inbox(k, p); k == c || ib != nil && ib.link == l {
			excess += m.over(k, p)
		}
	}
	return excess <= m.h.cfg.Limits.PeerOverflow
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
	var msgs []muxer.Message
	for range rapid.IntRange(1, 5).Draw(m.t, "count") {
		m.next++
		msgs = append(msgs, muxer.Message{Channel: m.channels[c].desc.ID,
			Data: serial(m.next, rapid.IntRange(8, 3000).Draw(m.t, "size"))})
	}
	ch := m.channels[c]
	roomy := ch.hasRoom(l, msgs[0].Data)
	used := m.h.memory.used.Load()
	if want := m.fits(c, p, l, used, msgs[0].Data); roomy != want {
		m.t.Fatalf("channel %d has room for %d bytes of peer %d: %v, want %v", c, len(msgs[0].Data), p, roomy, want)
	}
	taken, err := ch.deliver(l, msgs)
	for i, msg := range msgs {
		switch fits := m.fits(c, p, l, used, msg.Data); {
		case fits && i >= taken:
			m.t.Fatalf("message %d of %d, which fits, was not taken: %v", i, len(msgs), err)
		case fits:
			m.waiting[c][p] = append(m.waiting[c][p], msg.Data)
			used += cost(msg.Data)
		case ch.desc.Overflow == muxer.Drop && i >= taken, ch.desc.Overflow == muxer.Block && i < taken:
			m.t.Fatalf("%v: message %d of %d does not fit, and %d were taken: %v", ch.desc.Overflow, i, len(msgs),
				taken, err)
		case ch.desc.Overflow == muxer.Block:
			if err != nil {
				m.t.Fatalf("block: %v", err)
			}
			return
		case ch.desc.Overflow == muxer.Disconnect && i >= taken:
			if err == nil {
				m.t.Fatal("disconnect: no error")
			}
			return
		}
		// dropped; or memory is short, which is not this peer's fault alone: then Disconnect drops too
	}
	if err != nil {
		m.t.Fatalf("all fit, and %v", err)
	}
}

func (m *inboxModel) receive() {
	c := rapid.IntRange(0, len(m.channels)-1).Draw(m.t, "channel")
	e, ok := m.channels[c].next()
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
	which[p].leaveInboxes()
	if n := which[p].excess.Load(); n != 0 {
		m.t.Fatalf("a link that has gone is charged %d bytes", n)
	}
	which[p] = nil
}

// check compares all counters with the model.
func (m *inboxModel) check(t *rapid.T) {
	var freed int64
	for _, c := range m.channels {
		freed += c.freed
	}
	if used, held := m.h.memory.used.Load(), m.held(); used != held+freed || freed < 0 ||
		freed > int64(len(m.channels))*releaseStep {
		t.Fatalf("%d bytes are counted, %d wait, %d are not given back yet", used, held, freed)
	}
	for p := range m.links {
		want := map[*link]int64{}
		for c, ch := range m.channels {
			ib := m.inbox(c, p)
			n := len(m.waiting[c][p])
			if ib == nil {
				if n > 0 {
					t.Fatalf("no inbox for %d messages", n)
				}
				continue
			}
			if have := len(ib.queue) - ib.head; have != n || ib.listed != (n > 0) {
				t.Fatalf("an inbox has %d messages, want %d; listed %v", have, n, ib.listed)
			}
			if n == 0 && ib.links == 0 {
				t.Fatal("an inbox is kept that nobody fills and nothing is in")
			}
			if ib.link != nil {
				want[ib.link] += m.over(c, p)
			}
			if ready := len(ch.ready) - ch.first; ready < 0 || ready > len(m.links) {
				t.Fatalf("%d peers are listed", ready)
			}
		}
		for _, l := range []*link{m.links[p], m.old[p]} {
			if l != nil && l.excess.Load() != want[l] {
				t.Fatalf("a link is charged %d bytes beyond its budgets, want %d", l.excess.Load(), want[l])
			}
		}
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
				e, ok := ch.next()
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
			cfg.Limits.PeerOverflow, cfg.Limits.MessageMemory = 2000, 20_000
			h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: 1000},
				muxer.Channel{ID: 2, ReceiveQueue: 3000})
			const peers, each = 8, 2000
			var links []*link
			var senders, takers sync.WaitGroup
			for p := range peers {
				l, _ := testLink(h, p+1, muxer.Listener, true)
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
					if _, ok := c.next(); !ok { // what other receivers had left when the last end came
						break
					}
				}
			}
			for p, l := range links {
				if n := l.excess.Load(); n != 0 {
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
				if _, err := channels[0].deliver(l, msgs); err != nil {
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

// A full inbox from which one message is received for each that comes does not move the others each time.
func BenchmarkFullInbox(b *testing.B) {
	h, channels := newTestHost(b, testConfig(), muxer.Channel{ID: 1, ReceiveQueue: 1 << 20})
	l, _ := testLink(h, 1, muxer.Listener, true)
	msgs := []muxer.Message{{Channel: 1, Data: make([]byte, 1)}}
	for l.excess.Load() == 0 {
		if _, err := channels[0].deliver(l, msgs); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		channels[0].next()
		if n, err := channels[0].deliver(l, msgs); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}
