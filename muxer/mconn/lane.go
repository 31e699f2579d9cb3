package mconn

import "sync"

const (
	// blockLen makes a block 1,536 bytes, a size class of the allocator.
	blockLen = 63
	// entryCost is what a queued message counts against its lane's budget beside its bytes: its place in the queue. So empty messages
	// are bounded too.
	entryCost = 32
)

// block is a piece of a lane's queue. An idle lane has none, and a burst leaves nothing behind.
type block struct {
	msgs [blockLen][]byte
	next *block
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// lane is the send queue of one channel. The session's mutex guards it.
type lane struct {
	id         byte
	maxMessage int
	budget     int

	first, last *block // messages are first.msgs[head:] ... last.msgs[:tail]
	head, tail  int
	sent        int // bytes of the first message that the writer has taken
	queued      int // cost of the messages, the first one in whole until its last byte is taken

	// Senders that wait for room, the longest-waiting first. Room goes to them in that order.
	waiting, newest *waiter
}

// waiter is a Send that waits for room in a lane.
type waiter struct {
	msg        []byte
	ready      chan struct{} // gets one value once the wait is over
	err        error         // why msg was not queued after all
	done       bool
	prev, next *waiter
}

// freeWaiters are a session's own: a pool of all sessions would carry channels from one testing/synctest bubble into another.
type freeWaiters struct {
	head *waiter
	n    int
}

// maxFreeWaiters bounds what a session keeps after a crowd of senders.
const maxFreeWaiters = 8

func (f *freeWaiters) get(msg []byte) *waiter {
	w := f.head
	if w == nil {
		w = &waiter{ready: make(chan struct{}, 1)}
	} else {
		f.head = w.next
		f.n--
	}
	w.msg, w.next, w.err, w.done = msg, nil, nil, false
	return w
}

func (f *freeWaiters) put(w *waiter) {
	w.msg, w.err, w.prev, w.next = nil, nil, nil, nil
	if f.n < maxFreeWaiters {
		w.next, f.head = f.head, w
		f.n++
	}
}

func (l *lane) empty() bool { return l.first == nil }

// fits says whether a message of n bytes may be queued now.
func (l *lane) fits(n int) bool { return l.queued == 0 || l.queued+n+entryCost <= l.budget }

func (l *lane) push(msg []byte, spare *spareBlock) {
	switch {
	case l.last == nil:
		l.first = spare.get()
		l.last, l.head, l.tail = l.first, 0, 0
	case l.tail == blockLen:
		b := spare.get()
		l.last.next, l.last, l.tail = b, b, 0
	}
	l.last.msgs[l.tail] = msg
	l.tail++
	l.queued += len(msg) + entryCost
}

// peek is what is left of the first message. The lane must not be empty.
func (l *lane) peek() []byte { return l.first.msgs[l.head][l.sent:] }

// pop removes the first message.
func (l *lane) pop(spare *spareBlock) {
	slot := &l.first.msgs[l.head]
	l.queued -= len(*slot) + entryCost
	*slot = nil
	l.sent = 0
	l.head++
	switch {
	case l.first == l.last && l.head == l.tail:
		spare.put(l.first)
		l.first, l.last = nil, nil
	case l.head == blockLen:
		b := l.first
		l.first, l.head = b.next, 0
		b.next = nil
		spare.put(b)
	}
}

// clear drops all messages.
func (l *lane) clear() {
	l.first, l.last, l.head, l.tail, l.sent, l.queued = nil, nil, 0, 0, 0, 0
}

// wait puts w at the end of the lane's waiting senders.
func (l *lane) wait(w *waiter) {
	w.prev = l.newest
	if w.prev == nil {
		l.waiting = w
	} else {
		w.prev.next = w
	}
	l.newest = w
}

// leave takes w out of the waiting senders, wherever it stands.
func (l *lane) leave(w *waiter) {
	if w.prev == nil {
		l.waiting = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.newest = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// spareBlock keeps one block per session at hand, so that a queue that goes from empty to one message and back touches no pool.
type spareBlock struct{ b *block }

func (s *spareBlock) get() *block {
	if b := s.b; b != nil {
		s.b = nil
		return b
	}
	return blocks.Get().(*block)
}

func (s *spareBlock) put(b *block) {
	if s.b == nil {
		s.b = b
		return
	}
	blocks.Put(b)
}
