package host

import (
	"context"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// inbox holds the messages that one peer has sent on one channel and that the service has not received yet. Channel.mu
// guards it.
type inbox struct {
	box    *mailbox
	queue  []waiting // queue[head:] waits
	head   int
	bytes  int64 // that wait; 0 when nothing does
	listed bool  // in Channel.ready
	held   bool  // a handler of ServeParallel is at a message of the peer; then the inbox is not listed
}

// waiting is a message in an inbox.
type waiting struct {
	msg     []byte
	peering uint64
}

func (ib *inbox) push(msg []byte, peering uint64) {
	// Reuse the front before growing, where that moves little.
	if len(ib.queue) == cap(ib.queue) && ib.head > 0 && ib.head >= len(ib.queue)/2 {
		n := copy(ib.queue, ib.queue[ib.head:])
		clear(ib.queue[n:])
		ib.queue, ib.head = ib.queue[:n], 0
	}
	ib.queue = append(ib.queue, waiting{msg, peering})
	ib.bytes += cost(msg)
}

const keepQueue = 1024 // entries of an empty queue's array that are worth keeping while the link is busy

func (ib *inbox) pop() waiting {
	next := ib.queue[ib.head]
	ib.queue[ib.head] = waiting{}
	ib.head++
	ib.bytes -= cost(next.msg)
	if ib.bytes == 0 {
		ib.head = 0
		if cap(ib.queue) > keepQueue {
			ib.queue = nil
		} else {
			ib.queue = ib.queue[:0]
		}
	}
	return next
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

// room is whether there is room for a message.
type room uint8

const (
	fits     room = iota
	peerFull      // the peer has spent the budgets of its inbox and its mailbox
	nodeFull      // the node has spent the budget of all mailboxes
	tooLate       // the peering is down, and messages of a later one may be there
)

// deliver puts messages of one channel into the peer's inbox: as many as there is room for. An inbox without a message
// has room if the node has.
func (c *Channel) deliver(box *mailbox, p *Peering, msgs []muxer.Message) (taken int, full room) {
	c.mu.Lock()
	if p.end.Load() != nil { // looked at under mu, so that no message of a later peering comes between
		c.mu.Unlock()
		return 0, tooLate
	}
	if c.down {
		c.mu.Unlock()
		c.dropped.Add(uint64(len(msgs)))
		return len(msgs), fits
	}
	ib := box.inboxes[c.index]
	if ib == nil {
		ib = &inbox{box: box}
		box.inboxes[c.index] = ib
	}
	budget := int64(c.desc.ReceiveQueue)
	var added int64
	for ; taken < len(msgs); taken++ {
		msg := msgs[taken].Data
		if c.host.memory.spent(box.bytes.Load()+added, added, cost(msg)) {
			full = nodeFull
			break
		}
		if beyond := ib.bytes + cost(msg) - budget; ib.bytes > 0 && beyond > 0 &&
			!box.charge(beyond-ib.over(budget), c.host.cfg.Limits.PeerOverflow) {
			full = peerFull
			break
		}
		ib.push(msg, p.number)
		added += cost(msg)
	}
	c.host.memory.add(added)
	c.count(box, added)
	if taken > 0 && !ib.listed && !ib.held {
		ib.listed = true
		c.ready = append(c.ready, ib)
	}
	wake := len(c.ready) > 0
	c.mu.Unlock()
	if wake {
		c.signal()
	}
	return taken, full
}

// count adds n bytes to a mailbox.
func (c *Channel) count(box *mailbox, n int64) {
	box.bytes.Add(n)
	if c.desc.Overflow != muxer.Block {
		box.loose.Add(n)
	}
}

// next returns the next message, one peer after the other; ok is false if there is none. With hold, no more of that
// peer is received until the inbox is given back.
func (c *Channel) next(hold bool) (e Envelope, ib *inbox, ok bool) {
	c.mu.Lock()
	if len(c.ready) == c.first {
		c.mu.Unlock()
		return Envelope{}, nil, false
	}
	ib = c.ready[c.first]
	budget := int64(c.desc.ReceiveQueue)
	before, held := ib.over(budget), ib.bytes
	first := ib.pop()
	e = Envelope{From: ib.box.peer, Peering: first.peering, Message: first.msg}
	if len(c.ready)-c.first > 1 { // the next peer is next
		c.ready[c.first] = nil
		c.first++
		if ib.bytes > 0 && !hold {
			c.ready = append(c.ready, ib)
		}
		if c.first > 64 && c.first*2 > len(c.ready) {
			n := copy(c.ready, c.ready[c.first:])
			clear(c.ready[n:])
			c.ready, c.first = c.ready[:n], 0
		}
	} else if ib.bytes == 0 || hold {
		c.ready, c.first = c.ready[:0], 0
	}
	ib.listed, ib.held = ib.bytes > 0 && !hold, hold
	if before > 0 {
		ib.box.excess.Add(ib.over(budget) - before)
	}
	c.count(ib.box, ib.bytes-held)
	c.freed += held - ib.bytes
	release := c.freed
	if release < c.host.memory.step && (len(c.ready) > c.first || ib.bytes > 0) && c.host.memory.waits.Load() == 0 {
		release = 0 // in steps: touching the shared counter for each message would cost more than all the rest
	} else {
		c.freed = 0
	}
	more := len(c.ready) > c.first
	c.mu.Unlock()
	if release > 0 {
		c.host.memory.add(-release)
	}
	if ib.box.links.Load() == 0 {
		c.host.memory.drained(ib.box)
	}
	if more && c.waiting.Load() > 0 {
		c.signal()
	}
	return e, ib, true
}

// giveBack lets the messages of an inbox be received again.
func (c *Channel) giveBack(ib *inbox) {
	var freed int64
	c.mu.Lock()
	ib.held = false
	switch {
	case ib.bytes == 0:
	case c.down:
		freed = c.clear(ib) + c.freed
		c.freed = 0
	default:
		ib.listed = true
		c.ready = append(c.ready, ib)
	}
	more := len(c.ready) > c.first
	c.mu.Unlock()
	if freed > 0 {
		c.host.memory.add(-freed)
		c.host.memory.drained(ib.box)
	}
	if more && c.waiting.Load() > 0 {
		c.signal()
	}
}

// clear drops all messages of an inbox and returns their bytes. c.mu is held.
func (c *Channel) clear(ib *inbox) (freed int64) {
	freed = ib.bytes
	n := uint64(len(ib.queue) - ib.head)
	c.dropped.Add(n)
	ib.box.dropped.Add(n)
	ib.box.excess.Add(-ib.over(int64(c.desc.ReceiveQueue)))
	c.count(ib.box, -freed)
	ib.queue, ib.head, ib.bytes, ib.listed = nil, 0, 0, false
	return freed
}

// Deliver implements muxer.Handler: it moves what the session read into the inboxes, once the link's peering has been
// introduced. Where budgets are spent it does what the channel's policy says; with Block it waits, so that the session
// reads no more.
func (l *link) Deliver(ctx context.Context, msgs []muxer.Message) (err error) {
	if len(msgs) == 0 {
		return l.lastDelivered(ctx)
	}
	if m := l.move.Load(); m != nil {
		if err := l.awaitDrain(ctx, m); err != nil {
			return err
		}
	}
	p := l.peering.Load()
	for len(msgs) > 0 {
		if p == nil || !p.known.Load() {
			if p, err = l.await(ctx); p == nil {
				return err
			}
		}
		n := 1
		for n < len(msgs) && msgs[n].Channel == msgs[0].Channel {
			n++
		}
		c := l.host.byID[msgs[0].Channel]
		if c == nil {
			return &DisconnectError{Code: muxer.CodeWrongChannel, Reason: "message for a channel that we do not serve"}
		}
		taken, full := c.deliver(l.box, p, msgs[:n])
		if msgs = msgs[taken:]; taken == n {
			continue
		}
		switch {
		case full == tooLate && p == l.peering.Load():
			return nil // another link has taken its place, as for a remote that has restarted
		case full == tooLate:
			p = nil // that of a guest's other link
		case full == nodeFull && l.host.memory.makeRoom(l.box, cost(msgs[0].Data)):
		case c.desc.Overflow == muxer.Block:
			taken, err := l.pause(ctx, c, p, msgs[:n-taken])
			if err != nil {
				return err
			}
			msgs = msgs[taken:]
		case c.desc.Overflow == muxer.Disconnect && full == peerFull:
			return &DisconnectError{Code: muxer.CodeOverflow, Reason: "inbox of channel " + c.desc.Name + " is full"}
		default: // memory is short, which is not this peer's fault alone: then Disconnect drops too
			c.dropped.Add(1)
			l.box.dropped.Add(1)
			msgs = msgs[1:]
		}
	}
	return nil
}

// pause waits until there may be room. It registers first and tries again, so that no wake-up is lost.
func (l *link) pause(ctx context.Context, c *Channel, p *Peering, msgs []muxer.Message) (taken int, err error) {
	room := l.host.memory.wait()
	defer l.host.memory.unwait(room)
	taken, full := c.deliver(l.box, p, msgs)
	if taken > 0 || full == tooLate {
		return taken, nil
	}
	l.host.pauses.Add(1)
	select {
	case <-room:
		return 0, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}
