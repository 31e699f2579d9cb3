package muxer

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// SendQueues are the send queues of a session, one for each of its channels, which are numbered as they were given. The
// session's mutex, shared with NewSendQueues, guards them: methods say which of them take it.
type SendQueues struct {
	mu      *sync.Mutex
	ready   func(channel int)
	ids     []byte // of the channels, by number
	queues  []SendQueue
	dropped atomic.Uint64
	// received counts incoming messages. It is here so that ChannelStats finds both directions in one place.
	received []Received
}

// Received counts the messages that came on a channel. The session adds to it.
type Received struct{ Messages, Bytes atomic.Uint64 }

// NewSendQueues makes the queues of channels. ready is called, with mu held, when a channel has something to send.
func NewSendQueues(mu *sync.Mutex, channels []Channel, ready func(channel int)) (*SendQueues, error) {
	q := &SendQueues{mu: mu, ready: ready, ids: make([]byte, len(channels)), queues: make([]SendQueue, len(channels)),
		received: make([]Received, len(channels))}
	for i, c := range channels {
		if err := c.Validate(); err != nil {
			return nil, err
		}
		if bytes.IndexByte(q.ids[:i], c.ID) >= 0 {
			return nil, fmt.Errorf("channel 0x%02x is there twice", c.ID)
		}
		c = c.WithDefaults()
		q.ids[i] = c.ID
		q.queues[i] = SendQueue{budget: c.SendQueue, maxMessage: c.MaxMessage, priority: c.Priority}
	}
	return q, nil
}

// Find returns the number of a channel, -1 if there is none. It needs no lock.
func (q *SendQueues) Find(channel byte) int { return bytes.IndexByte(q.ids, channel) }

// Queue returns the queue of a channel, which the mutex guards.
func (q *SendQueues) Queue(i int) *SendQueue { return &q.queues[i] }

// Received returns the counters of what comes on a channel.
func (q *SendQueues) Received(i int) *Received { return &q.received[i] }

// Dropped counts the messages that TrySend has refused.
func (q *SendQueues) Dropped() uint64 { return q.dropped.Load() }

// Sender returns what a session shows of its queues.
func (q *SendQueues) Sender() Sender { return Sender{q} }

// Sender queues messages for a session, which embeds it. Its methods take the session's mutex.
type Sender struct{ queues *SendQueues }

// Send queues msg and waits while the channel's queue is full. Senders that wait take turns in the order in which they
// came.
func (s Sender) Send(ctx context.Context, channel byte, msg []byte) error {
	q := s.queues
	q.mu.Lock()
	ok, err := q.offer(channel, msg, false)
	if !ok && err == nil {
		err = ctx.Err()
	}
	if ok || err != nil {
		q.mu.Unlock()
		return err
	}
	queue := &q.queues[q.Find(channel)]
	l := queue.join()
	q.mu.Unlock()
	err = q.wait(ctx, l, channel, msg)
	q.mu.Lock()
	queue.waiting--
	q.mu.Unlock()
	return err
}

// wait waits in line l, at first for the turn, then for room.
func (q *SendQueues) wait(ctx context.Context, l *line, channel byte, msg []byte) error {
	select {
	case l.turn <- struct{}{}: // a channel serves those who wait in their order
		defer func() { <-l.turn }()
	case <-l.closed:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		q.mu.Lock()
		ok, err := q.offer(channel, msg, true)
		q.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-l.room:
		case <-l.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TrySend queues msg if there is room and no sender waits.
func (s Sender) TrySend(channel byte, msg []byte) bool {
	q := s.queues
	q.mu.Lock()
	ok, _ := q.offer(channel, msg, false)
	q.mu.Unlock()
	if !ok {
		q.dropped.Add(1)
	}
	return ok
}

// ChannelStats returns what passed each channel so far, in the order in which they were given.
func (s Sender) ChannelStats() []ChannelStats {
	q := s.queues
	out := make([]ChannelStats, len(q.ids))
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range out {
		queue, received := &q.queues[i], &q.received[i]
		out[i] = ChannelStats{ID: q.ids[i], Priority: queue.priority, SendQueue: queue.cost,
			SendQueueCapacity: queue.budget, SendQueueMessages: queue.queued,
			SentMessages: queue.sentMessages, SentBytes: queue.sentBytes,
			ReceivedMessages: received.Messages.Load(), ReceivedBytes: received.Bytes.Load()}
	}
	return out
}

// offer queues msg if there is room, and nobody waits in line except the caller. The error says why the channel does
// not take it, now or later. The mutex is held.
func (q *SendQueues) offer(channel byte, msg []byte, inLine bool) (ok bool, err error) {
	i := bytes.IndexByte(q.ids, channel)
	if i < 0 {
		return false, fmt.Errorf("channel 0x%02x: %w", channel, ErrUnknownChannel)
	}
	s := &q.queues[i]
	cost := len(msg) + MessageOverhead
	switch {
	case len(msg) > s.maxMessage:
		return false, fmt.Errorf("%d bytes on channel 0x%02x, which takes %d: %w", len(msg), channel, s.maxMessage,
			ErrMessageTooLarge)
	case s.err != nil:
		return false, s.err
	case s.waiting > 0 && !inLine, s.cost > 0 && s.cost+cost > s.budget:
		return false, nil
	}
	if s.last == nil || s.tail == blockLen {
		b := blocks.Get().(*block)
		if s.last == nil {
			s.first, s.head = b, 0
		} else {
			s.last.next = b
		}
		s.last, s.tail = b, 0
	}
	s.last.msgs[s.tail] = msg
	s.tail++
	s.queued++
	s.cost += cost
	q.ready(i)
	return true, nil
}

// Close makes all sends fail with err, those that wait too. What is queued stays. The mutex is held.
func (q *SendQueues) Close(err error) {
	for i := range q.queues {
		q.queues[i].close(err)
	}
}

// CloseChannel makes all sends of a channel fail with err, and drops what is queued. The mutex is held.
func (q *SendQueues) CloseChannel(i int, err error) {
	s := &q.queues[i]
	s.close(err)
	for !s.Empty() {
		s.Skip()
		q.dropped.Add(1)
	}
}

// Clear drops all that is queued. The mutex is held.
func (q *SendQueues) Clear() {
	for i := range q.queues {
		s := &q.queues[i]
		for !s.Empty() {
			s.Skip()
		}
	}
}

// blockLen makes a block 1,536 bytes, a size class of the allocator.
const blockLen = 63

// block is a piece of a queue. An idle queue has none, and a burst leaves none behind.
type block struct {
	msgs [blockLen][]byte
	next *block
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// SendQueue is what waits to be sent on one channel.
type SendQueue struct {
	maxMessage int
	budget     int
	priority   int

	first, last *block // the messages are first.msgs[head:] to last.msgs[:tail]; nil: there are none
	head, tail  int
	taken       int // bytes of the first message that the writer has taken
	cost        int // of the messages, each in whole until it is written
	queued      int // messages, until they are written

	sentMessages, sentBytes uint64

	err     error // why the channel takes no more
	waiting int   // senders in line
	line    *line // made when the first sender waits
}

// line is where senders wait for room in a queue.
type line struct {
	turn   chan struct{} // holds a value while a sender is the first
	room   chan struct{} // gets a value when there may be room
	closed chan struct{} // closed when the queue takes no more
}

// join takes a place in line.
func (s *SendQueue) join() *line {
	s.waiting++
	if s.line == nil {
		s.line = &line{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})}
	}
	return s.line
}

// close makes all sends fail with err, those that wait too. The first error counts.
func (s *SendQueue) close(err error) {
	if s.err != nil {
		return
	}
	if s.err = err; s.line != nil {
		close(s.line.closed)
	}
}

// Empty reports whether no message waits.
func (s *SendQueue) Empty() bool { return s.first == nil }

// First returns what is left of the first message. The queue must not be empty.
func (s *SendQueue) First() []byte { return s.first.msgs[s.head][s.taken:] }

// Take takes n bytes of the first message, and reports whether that was all of it, so that the next one is the first.
func (s *SendQueue) Take(n int) (whole bool) {
	if s.taken += n; s.taken < len(s.first.msgs[s.head]) {
		return false
	}
	s.Done(s.TakeWhole())
	return true
}

// TakeWhole takes all of the first message. It counts until Done.
func (s *SendQueue) TakeWhole() []byte {
	b := s.first
	msg := b.msgs[s.head]
	b.msgs[s.head] = nil
	s.taken = 0
	s.head++
	switch {
	case b == s.last && s.head == s.tail:
		s.first, s.last = nil, nil
		blocks.Put(b)
	case s.head == blockLen:
		s.first, s.head = b.next, 0
		b.next = nil
		blocks.Put(b)
	}
	return msg
}

// Done counts a message from TakeWhole, which is written, as sent, and no more as waiting.
func (s *SendQueue) Done(msg []byte) {
	s.cost -= len(msg) + MessageOverhead
	s.queued--
	s.sentMessages++
	s.sentBytes += uint64(len(msg))
	if s.waiting > 0 {
		select {
		case s.line.room <- struct{}{}:
		default:
		}
	}
}

// Lost is Done for a message that is not sent.
func (s *SendQueue) Lost(msg []byte) {
	s.Done(msg)
	s.sentMessages--
	s.sentBytes -= uint64(len(msg))
}

// Skip drops the first message.
func (s *SendQueue) Skip() { s.Lost(s.TakeWhole()) }
