package yamux

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// leftSize is how many bytes of short frames are left to the next write at most, where that is up to us.
	leftSize = 8 << 10
	// leastBuffer is the smallest buffer that muxer.NewBuffer takes out of its pools.
	leastBuffer = 512
	// patience is how long a frame that nobody waits for may wait for another one to go with.
	patience = 50 * time.Millisecond
)

// writer writes frames: those of streams, in the order in which streams write them, and go-yamux's own. One goroutine
// writes at a time. The others wait for their turn, except that a short frame which must not wait is left to the one
// that writes.
type writer struct {
	conn    net.Conn
	timeout time.Duration // how long a write may take
	sent    atomic.Uint64

	turn chan struct{} // holds a value while a frame is written

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
	return w.send(append(w.take(len(frame)), frame...))
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
	return len(w.left) >= leftSize
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
			_ = w.send(w.take(0)) // the next write has the error, too
			<-w.turn
		default:
			return
		}
	}
}

// take takes what is left, in a buffer with room for n bytes more. The turn is ours.
func (w *writer) take(n int) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	for at := 0; at < len(w.left); at += headerSize {
		if w.left[at+1] == typePing {
			w.pinged = time.Now()
		}
	}
	buf := append(muxer.NewBuffer(max(len(w.left)+n, leastBuffer))[:0], w.left...)
	w.left = w.left[:0]
	w.some.Store(false)
	return buf
}

// send writes a buffer of take's, and moves the deadline of the connection when half of its time is over.
func (w *writer) send(buf []byte) error {
	w.deadlines.Lock()
	if now := time.Now(); !w.final && w.deadline.Sub(now) < w.timeout/2 {
		w.deadline = now.Add(w.timeout)
		_ = w.conn.SetWriteDeadline(w.deadline) // an error is that of a dead connection: the write has it, too
	}
	w.deadlines.Unlock()
	n, err := w.conn.Write(buf)
	w.sent.Add(uint64(n))
	muxer.FreeBuffer(buf)
	return err
}
