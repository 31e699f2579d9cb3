package muxer

// laneEntryCost is what a queued message counts against its lane's budget beside its bytes: its place in the queue. So empty messages are
// bounded too.
const laneEntryCost = 32

// laneQueue is what waits to be sent on one channel. The session's mutex guards it.
type laneQueue struct {
	budget int
	msgs   [][]byte // msgs[head:] wait
	head   int
	header [5]byte // length of the first message, as it goes ahead of it
	ahead  int     // bytes of it to come
	sent   int     // bytes of the first message that were taken; -1: its header was not begun
	queued int     // cost of the messages, the first one in whole until its last byte is taken

	waiting, newest *laneWaiter // senders that wait for room, the longest-waiting first
}

// laneWaiter is a Send that waits for room.
type laneWaiter struct {
	msg        []byte
	ready      chan struct{} // closed once the wait is over
	err        error         // why msg was not queued after all
	done       bool
	prev, next *laneWaiter
}

func (q *laneQueue) empty() bool { return q.head == len(q.msgs) }

// fits says whether a message of n bytes may be queued now.
func (q *laneQueue) fits(n int) bool { return q.queued == 0 || q.queued+n+laneEntryCost <= q.budget }

func (q *laneQueue) push(msg []byte) {
	if q.empty() {
		q.sent = -1
	}
	q.msgs = append(q.msgs, msg)
	q.queued += len(msg) + laneEntryCost
}

func (q *laneQueue) pop() {
	q.queued -= len(q.msgs[q.head]) + laneEntryCost
	q.msgs[q.head] = nil
	q.head++
	q.sent = -1
	switch {
	case q.empty() && cap(q.msgs) > 64: // a burst leaves nothing behind
		q.msgs, q.head = nil, 0
	case q.empty():
		q.msgs, q.head = q.msgs[:0], 0
	case q.head >= 64 && q.head*2 >= len(q.msgs):
		n := copy(q.msgs, q.msgs[q.head:])
		clear(q.msgs[n:])
		q.msgs, q.head = q.msgs[:n], 0
	}
}

func (q *laneQueue) clear() {
	q.msgs, q.head, q.queued = nil, 0, 0
}

// takeWhole takes the first message in one piece. It counts as queued until sentWhole.
func (q *laneQueue) takeWhole() []byte {
	msg := q.msgs[q.head]
	q.pop()
	q.queued += len(msg) + laneEntryCost
	return msg
}

func (q *laneQueue) sentWhole(msg []byte) {
	q.queued = max(q.queued-len(msg)-laneEntryCost, 0) // the queue may have been cleared
}

// direct is how much of a message is worth to be written from where it lies.
const directPiece = 16 << 10

// take moves up to room bytes of frames behind buf. A long piece of a message with nothing ahead of it comes back uncopied instead: it stays valid, as
// nobody changes a message that was sent. messages is how many messages ended.
func (q *laneQueue) take(buf []byte, room int) (out, piece []byte, messages int) {
	for room > 0 && !q.empty() {
		msg := q.msgs[q.head]
		if q.sent < 0 {
			q.sent, q.ahead = 0, putLength(&q.header, len(msg))
		}
		if q.ahead > 0 {
			n := lengthSize(len(msg))
			h := q.header[n-q.ahead : n]
			h = h[:min(len(h), room)]
			buf = append(buf, h...)
			q.ahead -= len(h)
			room -= len(h)
			if q.ahead > 0 {
				break
			}
		}
		rest := msg[q.sent:]
		n := min(len(rest), room)
		if n >= directPiece && len(buf) == 0 {
			piece = rest[:n]
		} else {
			buf = append(buf, rest[:n]...)
		}
		q.sent += n
		room -= n
		if q.sent == len(msg) {
			q.pop()
			messages++
		}
		if piece != nil {
			break
		}
	}
	return buf, piece, messages
}

// putLength writes n as a uvarint and says how long that is.
func putLength(h *[5]byte, n int) int {
	i := 0
	for ; n >= 0x80; i++ {
		h[i] = byte(n) | 0x80
		n >>= 7
	}
	h[i] = byte(n)
	return i + 1
}

func lengthSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func (q *laneQueue) wait(w *laneWaiter) {
	if q.newest == nil {
		q.waiting = w
	} else {
		w.prev, q.newest.next = q.newest, w
	}
	q.newest = w
}

// leave takes w out of the waiting senders, wherever it stands.
func (q *laneQueue) leave(w *laneWaiter) {
	if w.prev == nil {
		q.waiting = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.newest = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// abandon tells all waiting senders err.
func (q *laneQueue) abandon(err error) {
	for w := q.waiting; w != nil; w = q.waiting {
		q.leave(w)
		w.err, w.done = err, true
		close(w.ready)
	}
}
