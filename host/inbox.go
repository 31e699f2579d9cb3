package host

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// inbox holds the messages that one peer has sent on one channel and that the service has not received yet. It belongs
// to its channel and is guarded by Channel.mu. It outlives a link: what a peer sent before it hung up is still
// received, and a peer that reconnects goes on filling the same inbox, so reconnecting buys no memory.
type inbox struct {
	peer   transport.NodeID
	queue  [][]byte // queue[head:] waits
	head   int
	bytes  int64
	links  int  // links that fill it
	listed bool // in Channel.ready

	dropped uint64
	// link fills it now: its excess counts what is beyond the channel's ReceiveQueue. nil after the link has ended.
	link *link
}

func (ib *inbox) empty() bool { return ib.head == len(ib.queue) }

func (ib *inbox) push(msg []byte) {
	// Reuse the front before growing, where that moves little.
	if len(ib.queue) == cap(ib.queue) && ib.head > 0 && ib.head >= len(ib.queue)/2 {
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

// cost returns what a waiting message counts against a budget: the memory that it holds, so empty messages are not
// free.
func cost(msg []byte) int64 { return int64(cap(msg)) + muxer.MessageOverhead }

// over returns by how much the inbox is beyond its channel's budget. An inbox with one message is never over.
func (ib *inbox) over(budget int64) int64 {
	if ib.bytes <= budget || len(ib.queue)-ib.head <= 1 {
		return 0
	}
	return ib.bytes - budget
}

// deliver puts messages of one channel into the peer's inbox. It returns how many it took: fewer than all if budgets
// are spent and the caller has to wait. An error ends the link.
func (c *Channel) deliver(l *link, msgs []muxer.Message) (taken int, err error) {
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		c.dropped.Add(uint64(len(msgs)))
		return len(msgs), nil
	}
	ib := l.inboxOf(c)
	held := ib.bytes
	for taken < len(msgs) {
		room := c.fit(l, ib, held, msgs[taken].Data)
		if room != fits && c.desc.Overflow == muxer.Block {
			break
		}
		if room == peerFull && c.desc.Overflow == muxer.Disconnect {
			err = &DisconnectError{Code: muxer.CodeOverflow, Reason: "inbox of channel " + c.desc.Name + " is full"}
			break
		}
		if room == fits {
			ib.push(msgs[taken].Data)
		} else {
			ib.dropped++
			c.dropped.Add(1)
		}
		taken++
	}
	c.host.memory.add(ib.bytes - held)
	if !ib.empty() && !ib.listed {
		ib.listed = true
		c.ready = append(c.ready, ib)
	}
	wake := len(c.ready) > 0
	c.mu.Unlock()
	if wake {
		c.signal()
	}
	return taken, err
}

// fit is whether there is room for a message.
type fit uint8

const (
	fits     fit = iota
	peerFull     // the peer has spent the budgets of its inbox and its link
	nodeFull     // the node has spent the budget of all inboxes
)

// fit reports whether there is room for a message. If so, it charges the link for what is beyond the inbox's budget. An
// empty inbox has room. held is what the inbox has charged to the node's budget. c.mu is held.
func (c *Channel) fit(l *link, ib *inbox, held int64, msg []byte) fit {
	if ib.empty() {
		return fits
	}
	switch need := c.need(ib, msg); {
	case c.host.memory.spent(ib.bytes - held + cost(msg)):
		return nodeFull
	case need > 0 && !l.charge(need):
		return peerFull
	}
	return fits
}

// need returns how much further a message would take the inbox beyond its budget.
func (c *Channel) need(ib *inbox, msg []byte) int64 {
	budget := int64(c.desc.ReceiveQueue)
	return max(ib.bytes+cost(msg)-budget, 0) - ib.over(budget)
}

// charge adds n bytes to what is beyond the budgets of the link's inboxes. It reports whether the link may have so
// much.
func (l *link) charge(n int64) bool {
	if l.excess.Add(n) > l.host.cfg.Limits.PeerOverflow {
		l.excess.Add(-n)
		return false
	}
	return true
}

// next returns the next message, one peer after the other; ok is false if there is none.
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
	if len(c.ready)-c.first > 1 { // the next peer is next
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
	if release < releaseStep && len(c.ready) > c.first && c.host.memory.waits.Load() == 0 {
		release = 0 // in steps: touching the shared counter for each message would cost more than all the rest
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
	} else if l != nil && l.pauses.n.Load() > 0 {
		l.pauses.resume()
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
	waiting map[*link]int // how many calls of Deliver wait, for each link that has some
	waits   atomic.Int32  // len(waiting)
}

func (m *memory) spent(more int64) bool { return m.used.Load()+more > m.limit }

func (m *memory) add(n int64) {
	if n == 0 {
		return
	}
	m.used.Add(n)
	if n < 0 && m.waits.Load() > 0 {
		m.resumeAll()
	}
}

// resumeAll makes all paused links look again.
func (m *memory) resumeAll() {
	if m.waits.Load() == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for l := range m.waiting {
		l.pauses.resume()
	}
}

// wait counts the paused calls of Deliver of a link up or down, so that freed memory wakes them.
func (m *memory) wait(l *link, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting == nil {
		m.waiting = map[*link]int{}
	}
	if m.waiting[l] += n; m.waiting[l] == 0 {
		delete(m.waiting, l)
	}
	m.waits.Store(int32(len(m.waiting)))
}

// pauses are the calls of Deliver of one link that wait for room: one for each channel at most.
type pauses struct {
	n     atomic.Int32
	mu    sync.Mutex
	rooms map[chan struct{}]struct{}
}

// begin registers a call. The channel receives a value when there may be room.
func (p *pauses) begin() chan struct{} {
	room := make(chan struct{}, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms == nil {
		p.rooms = map[chan struct{}]struct{}{}
	}
	p.rooms[room] = struct{}{}
	p.n.Add(1)
	return room
}

func (p *pauses) end(room chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rooms, room)
	p.n.Add(-1)
}

// resume makes all waiting calls look again.
func (p *pauses) resume() {
	if p.n.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for room := range p.rooms {
		select {
		case room <- struct{}{}:
		default:
		}
	}
}

// Deliver implements muxer.Handler: it moves what the session read into the inboxes, and waits, so that the session
// reads no more, while the budgets of a channel whose policy is Block are spent.
func (l *link) Deliver(ctx context.Context, msgs []muxer.Message) error {
	for len(msgs) > 0 {
		n := 1
		for n < len(msgs) && msgs[n].Channel == msgs[0].Channel {
			n++
		}
		c := l.host.byID[msgs[0].Channel]
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

// pause waits for room. It registers first and looks again, so that no wake-up is lost.
func (l *link) pause(ctx context.Context, c *Channel, run []muxer.Message) error {
	room := l.pauses.begin()
	l.host.memory.wait(l, 1)
	defer func() {
		l.pauses.end(room)
		l.host.memory.wait(l, -1)
	}()
	if c.hasRoom(l, run[0].Data) {
		return nil
	}
	l.host.pauses.Add(1)
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hasRoom reports whether deliver would take msg now.
func (c *Channel) hasRoom(l *link, msg []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ib := l.inboxOf(c)
	if c.down || ib.empty() {
		return true
	}
	need := c.need(ib, msg)
	return !c.host.memory.spent(cost(msg)) && (need <= 0 || l.excess.Load()+need <= l.host.cfg.Limits.PeerOverflow)
}
