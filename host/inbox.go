package host

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// inbox holds the messages that one peer has sent on one channel and that the service has not received yet. It belongs to its
// channel and is guarded by Channel.mu. It outlives a link: what a peer sent before it hung up is still received, and a peer that
// reconnects goes on filling the same inbox, so reconnecting buys no memory.
type inbox struct {
	peer   transport.NodeID
	queue  [][]byte // queue[head:] waits
	head   int
	bytes  int64
	links  int  // links that fill it
	listed bool // in Channel.ready

	dropped uint64
	// link is the one that fills it now: its excess counts what is beyond the channel's ReceiveQueue. nil after the link has gone.
	link *link
}

func (ib *inbox) empty() bool { return ib.head == len(ib.queue) }

func (ib *inbox) push(msg []byte) {
	if len(ib.queue) == cap(ib.queue) && ib.head > 0 && ib.head >= len(ib.queue)/2 { // reuse the front before growing, where that moves little
		n := copy(ib.queue, ib.queue[ib.head:])
		clear(ib.queue[n:])
		ib.queue, ib.head = ib.queue[:n], 0
	}
	ib.queue = append(ib.queue, msg)
	ib.bytes += cost(msg)
}

const keepQueue = 1024 // entries of an empty queue's array that are worth keeping while the link is busy

func (ib *inbox) pop() []byte {
	msg := ib.queue[ib.head]
	ib.queue[ib.head] = nil
	ib.head++
	ib.bytes -= cost(msg)
	if ib.empty() {
		ib.head = 0
		if cap(ib.queue) > keepQueue {
			ib.queue = nil
		} else {
			ib.queue = ib.queue[:0]
		}
	}
	return msg
}

// cost is what a waiting message counts against a budget: its bytes and the slice that holds them, so that empty messages are
// not free.
func cost(msg []byte) int64 { return int64(len(msg)) + 24 }

// over is by how much the inbox is beyond its channel's budget. An inbox with one message is never over.
func (ib *inbox) over(budget int64) int64 {
	if ib.bytes <= budget || len(ib.queue)-ib.head <= 1 {
		return 0
	}
	return ib.bytes - budget
}

// fillBy makes l the link whose excess counts what is beyond the budget. While a duplicate is under way a peer has two links that fill one
// inbox by turns.
func (ib *inbox) fillBy(l *link, budget int64) {
	if ib.link == l {
		return
	}
	over := ib.over(budget)
	if ib.link != nil {
		ib.link.excess.Add(-over)
	}
	ib.link = l
	l.excess.Add(over)
}

// deliver puts messages of one channel into the peer's inbox. It returns how many it took, and whether it stopped because budgets are spent
// (the caller waits) or because the policy ends the link (err).
func (c *Channel) deliver(l *link, msgs []muxer.Message) (taken int, err error) {
	budget := int64(c.desc.ReceiveQueue)
	wake := false
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		c.dropped.Add(uint64(len(msgs)))
		return len(msgs), nil
	}
	ib := l.inboxOf(c)
	before, held := ib.over(budget), ib.bytes
	excess := before // what this call has brought the inbox to
	for taken < len(msgs) {
		data := msgs[taken].Data
		n := cost(data)
		if !ib.empty() && ib.bytes+n > budget {
			next := ib.bytes + n - budget
			if l.excess.Load()+next-before > l.host.cfg.Limits.PeerOverflow || c.host.memory.spent(ib.bytes-held+n) {
				if c.desc.Overflow == muxer.Block {
					break
				}
				if c.desc.Overflow == muxer.Disconnect {
					err = &DisconnectError{Code: muxer.CodeOverflow, Reason: "inbox of channel " + c.desc.Name + " is full"}
					break
				}
				ib.dropped++
				c.dropped.Add(1)
				taken++
				continue
			}
			excess = next
		} else if c.host.memory.spent(ib.bytes-held+n) && !ib.empty() {
			if c.desc.Overflow == muxer.Block {
				break
			}
			ib.dropped++
			c.dropped.Add(1)
			taken++
			continue
		}
		ib.push(data)
		taken++
	}
	if d := excess - before; d != 0 {
		l.excess.Add(d)
	}
	c.host.memory.add(ib.bytes - held)
	if !ib.empty() && !ib.listed {
		ib.listed = true
		c.ready = append(c.ready, ib)
	}
	wake = len(c.ready) > 0
	c.mu.Unlock()
	if wake {
		c.signal()
	}
	return taken, err
}

// next takes the next message, one peer after the other. ok is false when there is none.
func (c *Channel) next() (e Envelope, ok bool) {
	c.mu.Lock()
	if len(c.ready) == c.first {
		c.mu.Unlock()
		return Envelope{}, false
	}
	ib := c.ready[c.first]
	budget := int64(c.desc.ReceiveQueue)
	before, held := ib.over(budget), ib.bytes
	e = Envelope{From: ib.peer, Message: ib.pop()}
	if len(c.ready)-c.first > 1 { // let the next peer have its turn
		c.ready[c.first] = nil
		c.first++
		if !ib.empty() {
			c.ready = append(c.ready, ib)
		} else {
			ib.listed = false
		}
		if c.first > 64 && c.first*2 > len(c.ready) {
			n := copy(c.ready, c.ready[c.first:])
			clear(c.ready[n:])
			c.ready, c.first = c.ready[:n], 0
		}
	} else if ib.empty() {
		ib.listed = false
		c.ready, c.first = c.ready[:0], 0
	}
	c.freed += held - ib.bytes
	release := c.freed
	if release < releaseStep && len(c.ready) > c.first && !c.host.memory.tight() {
		release = 0 // give back in steps: one shared counter a message would cost more than the rest of this
	} else {
		c.freed = 0
	}
	l, contended := ib.link, ib.links > 1
	if before > 0 && l != nil {
		l.excess.Add(ib.over(budget) - before)
	}
	if ib.empty() && ib.links == 0 {
		delete(c.inboxes, ib.peer)
	}
	more := len(c.ready) > c.first
	c.mu.Unlock()
	if release > 0 {
		c.host.memory.add(-release)
	}
	if contended { // the one that waits may be the other one
		c.host.memory.resumeAll()
	} else if l != nil && l.paused.Load() {
		l.resume()
	}
	if more && c.waiting.Load() > 0 {
		c.signal()
	}
	return e, true
}

const releaseStep = 64 << 10

// memory is the budget of messages that wait for services, over all peers.
type memory struct {
	limit int64
	used  atomic.Int64

	mu      sync.Mutex
	waiting map[*link]struct{}
	waits   atomic.Int32
}

func (m *memory) spent(more int64) bool { return m.used.Load()+more > m.limit }
func (m *memory) tight() bool           { return m.waits.Load() > 0 }

func (m *memory) add(n int64) {
	if n == 0 {
		return
	}
	m.used.Add(n)
	if n < 0 {
		m.resumeAll()
	}
}

// resumeAll lets all paused links look again.
func (m *memory) resumeAll() {
	if !m.tight() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for l := range m.waiting {
		l.resume()
	}
}

// wait registers a paused link, so that freed memory wakes it.
func (m *memory) wait(l *link) {
	m.mu.Lock()
	if m.waiting == nil {
		m.waiting = map[*link]struct{}{}
	}
	m.waiting[l] = struct{}{}
	m.waits.Store(int32(len(m.waiting)))
	m.mu.Unlock()
}

func (m *memory) forget(l *link) {
	m.mu.Lock()
	delete(m.waiting, l)
	m.waits.Store(int32(len(m.waiting)))
	m.mu.Unlock()
}

// Deliver implements muxer.Handler: it moves what the session read into the inboxes, and waits (so that the session pauses) while the
// budgets of a channel whose policy is Block are spent.
func (l *link) Deliver(ctx context.Context, msgs []muxer.Message) error {
	for len(msgs) > 0 {
		n := 1
		for n < len(msgs) && msgs[n].Channel == msgs[0].Channel {
			n++
		}
		c := l.host.channelOf(msgs[0].Channel)
		if c == nil {
			return &DisconnectError{Code: muxer.CodeWrongChannel, Reason: "message for a channel that we do not serve"}
		}
		run := msgs[:n]
		for len(run) > 0 {
			taken, err := c.deliver(l, run)
			if err != nil {
				return err
			}
			if run = run[taken:]; len(run) > 0 {
				if err := l.pause(ctx, c, run); err != nil {
					return err
				}
			}
		}
		msgs = msgs[n:]
	}
	return nil
}

// DeliverNow implements muxer.PromptHandler. What a channel has no room for, and what ends the link, is left to Deliver.
func (l *link) DeliverNow(msgs []muxer.Message) (taken int) {
	for taken < len(msgs) {
		c := l.host.channelOf(msgs[taken].Channel)
		if c == nil {
			break
		}
		if n, err := c.deliver(l, msgs[taken:taken+1]); err != nil || n == 0 {
			break
		}
		taken++
	}
	return taken
}

// pause waits for room. It registers first and looks again, so that no wake-up is lost.
func (l *link) pause(ctx context.Context, c *Channel, run []muxer.Message) error {
	l.paused.Store(true)
	l.host.memory.wait(l)
	defer func() {
		l.paused.Store(false)
		l.host.memory.forget(l)
	}()
	if c.hasRoom(l, run[0].Data) {
		return nil
	}
	l.host.pauses.Add(1)
	select {
	case <-l.room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *link) resume() {
	select {
	case l.room <- struct{}{}:
	default:
	}
}

// hasRoom says whether deliver would take msg now.
func (c *Channel) hasRoom(l *link, msg []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ib := l.inboxOf(c)
	n, budget := cost(msg), int64(c.desc.ReceiveQueue)
	if ib.empty() || c.down {
		return true
	}
	if c.host.memory.spent(n) {
		return false
	}
	next := ib.bytes + n - budget
	return next <= 0 || l.excess.Load()+next-ib.over(budget) <= l.host.cfg.Limits.PeerOverflow
}
