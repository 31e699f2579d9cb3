package yamux

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// heldSize is how many bytes of short frames are written together at most.
	heldSize = 8 << 10
	// patience is how long a frame that nobody waits for may wait for another one to go with.
	patience = 50 * time.Millisecond
)

var (
	heldPool  = sync.Pool{New: func() any { return new([heldSize]byte) }}
	framePool = sync.Pool{New: func() any { return new([]byte) }}
)

// writer writes frames: those of streams, in the order in which streams write them, and go-yamux's own. One goroutine
// writes at a time. The others wait for their turn, except that a short frame which must not wait is left to the one
// that writes.
type writer struct {
	conn    net.Conn
	timeout time.Duration // how long a write may take
	sent    atomic.Uint64

	turn  chan struct{} // holds a value while a frame is written; guards held
	held  *[heldSize]byte
	heldN int

	mu     sync.Mutex  // guards what follows
	left   []byte      // short frames that the next one who writes takes along
	some   atomic.Bool // there are some that do not wait
	late   *time.Timer
	waits  bool           // late runs
	lates  sync.WaitGroup // holds 1 while it does
	pinged time.Time      // when our last ping was written; zero: it was answered

	deadlines sync.Mutex // guards what follows
	deadline  time.Time  // that the connection has
	final     bool       // it is not moved any more
}

// newWriter makes the writer of a connection that may take timeout for a write.
func newWriter(nc net.Conn, timeout time.Duration) writer {
	return writer{conn: nc, timeout: timeout, turn: make(chan struct{}, 1)}
}

// header returns that of a frame.
func header(kind, flags byte, id uint32, length int) (h [headerSize]byte) {
	h[1], h[3] = kind, flags
	binary.BigEndian.PutUint32(h[4:], id)
	binary.BigEndian.PutUint32(h[8:], uint32(length))
	return h
}

// write waits for its turn, and writes a frame.
func (w *writer) write(frame []byte) error {
	w.turn <- struct{}{}
	defer w.done()
	w.take()
	return w.put(frame, nil)
}

// leave leaves a short frame to the next goroutine that writes. One that may wait is written after patience, if there
// is none; behind others call settle.
func (w *writer) leave(frame [headerSize]byte, mayWait bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = append(w.left, frame[:]...)
	switch {
	case !mayWait:
		w.some.Store(true)
	case w.waits:
	case w.late == nil:
		w.waits = true
		w.lates.Add(1)
		w.late = time.AfterFunc(patience, w.expire)
	default:
		w.waits = true
		w.lates.Add(1)
		w.late.Reset(patience)
	}
}

// full reports whether more is left than is written together.
func (w *writer) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.left) >= heldSize
}

// expire writes what has waited for long enough.
func (w *writer) expire() {
	defer w.lates.Done()
	w.mu.Lock()
	w.waits = false
	w.some.Store(len(w.left) > 0)
	w.mu.Unlock()
	w.settle()
}

// stop ends the wait of what is left. mu is held.
func (w *writer) stop() {
	if w.waits && w.late.Stop() {
		w.waits = false
		w.lates.Done()
	}
}

// close is called when the connection is closed, and nothing is left any more.
func (w *writer) close() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
	w.lates.Wait()
}

// answered returns how long our last ping took, now that an answer has come; 0 if there was one before.
func (w *writer) answered() (took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.pinged.IsZero() {
		took = time.Since(w.pinged)
	}
	w.pinged = time.Time{}
	return took
}

// last writes the last frame of the connection. A frame that is being written may take no longer than within, too.
func (w *writer) last(frame []byte, within time.Duration) error {
	w.limit(within)
	return w.write(frame)
}

// limit lets all further writes take no longer than within.
func (w *writer) limit(within time.Duration) {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()
	w.final = true
	_ = w.conn.SetWriteDeadline(time.Now().Add(within))
}

// done gives the turn back.
func (w *writer) done() {
	<-w.turn
	w.settle()
}

// settle writes what is left, unless another goroutine is writing: then that one does.
func (w *writer) settle() {
	for w.some.Load() {
		select {
		case w.turn <- struct{}{}:
			w.take()
			_ = w.flush() // the next write has the error, too
			<-w.turn
		default:
			return
		}
	}
}

// put writes a frame of head and body, behind what is held. The turn is ours.
func (w *writer) put(head, body []byte) error {
	if w.heldN+len(head)+len(body) <= heldSize {
		w.hold(head)
		w.hold(body)
		return w.flush()
	}
	if err := w.flush(); err != nil {
		return err
	}
	whole := framePool.Get().(*[]byte)
	defer framePool.Put(whole)
	*whole = append(append((*whole)[:0], head...), body...)
	return w.send(*whole)
}

// take holds what is left, as far as there is room. The turn is ours.
func (w *writer) take() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	n := min(len(w.left), (heldSize-w.heldN)/headerSize*headerSize)
	for at := 0; at < n; at += headerSize {
		if w.left[at+1] == typePing {
			w.pinged = time.Now()
		}
	}
	w.hold(w.left[:n])
	w.left = append(w.left[:0], w.left[n:]...)
	w.some.Store(len(w.left) > 0)
}

func (w *writer) hold(p []byte) {
	if len(p) == 0 {
		return
	}
	if w.held == nil {
		w.held = heldPool.Get().(*[heldSize]byte)
	}
	w.heldN += copy(w.held[w.heldN:], p)
}

// flush writes what is held. The turn is ours.
func (w *writer) flush() error {
	if w.heldN == 0 {
		return nil
	}
	err := w.send(w.held[:w.heldN])
	heldPool.Put(w.held)
	w.held, w.heldN = nil, 0
	return err
}

// send moves the deadline of the connection when half of its time is over, and writes.
func (w *writer) send(p []byte) error {
	w.deadlines.Lock()
	if now := time.Now(); !w.final && w.deadline.Sub(now) < w.timeout/2 {
		w.deadline = now.Add(w.timeout)
		_ = w.conn.SetWriteDeadline(w.deadline) // an error is that of a dead connection: the write has it, too
	}
	w.deadlines.Unlock()
	n, err := w.conn.Write(p)
	w.sent.Add(uint64(n))
	return err
}
