package yamux

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// gatherSize is how many bytes of short frames are written together at most.
const gatherSize = 8 << 10

// backlogLimit is how much data is queued in go-yamux when writers of streams wait.
const backlogLimit = 128 << 10

var gatherPool = sync.Pool{New: func() any { return new([gatherSize]byte) }}

// writer writes frames. All but those that grant windows come from go-yamux, whose one goroutine takes them from a
// queue. That would be a system call for each, so a short frame is held while it is certain that another one follows:
// one that go-yamux has queued already, or, behind the frame that opens a stream, the stream's first bytes.
type writer struct {
	conn    net.Conn
	timeout time.Duration // how long a write may take
	sent    atomic.Uint64

	// queued counts what go-yamux has certainly queued, passed what of that kind was written: bytes of data, and 1 for a
	// frame that opens or closes a stream. queued is counted after the call that queues, so it is never too much.
	queued, passed atomic.Int64

	room    chan struct{} // less than backlogLimit is queued
	flushed chan struct{} // nothing is queued

	mu    sync.Mutex // held while a frame is written; guards what follows
	held  *[gatherSize]byte
	heldN int

	grants  sync.Mutex // guards granted
	granted []byte     // frames that grant windows, not yet written
	owing   atomic.Bool

	deadlines sync.Mutex // guards what follows
	deadline  time.Time  // that the connection has
	final     bool       // it is not moved any more
}

// newWriter makes the writer of a connection that may take timeout for a write.
func newWriter(nc net.Conn, timeout time.Duration) writer {
	return writer{conn: nc, timeout: timeout, room: make(chan struct{}, 1), flushed: make(chan struct{}, 1)}
}

// backlog is how many bytes of data go-yamux has queued.
func (w *writer) backlog() int { return int(max(w.queued.Load()-w.passed.Load(), 0)) }

// await waits until less than backlogLimit is queued. It reports false when stop is closed, or the time is by.
func (w *writer) await(stop <-chan struct{}, by time.Time) bool {
	var late <-chan time.Time
	for w.backlog() >= backlogLimit {
		if late == nil && !by.IsZero() {
			t := time.NewTimer(time.Until(by))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-w.room:
		case <-stop:
			return false
		case <-late:
			return false
		}
	}
	return true
}

// queue counts n bytes as queued, and lets the next writer wait no longer if there is still room.
func (w *writer) queue(n int) {
	w.queued.Add(int64(n))
	if w.backlog() < backlogLimit {
		signal(w.room)
	}
}

// frame writes a frame, or holds it until the next one.
func (w *writer) frame(frame []byte) error {
	w.mu.Lock()
	defer w.done()
	kind, flags := frame[1], binary.BigEndian.Uint16(frame[2:])
	size := 0
	switch {
	case kind == typeData:
		size = len(frame) - headerSize
	case kind == typeWindow && flags&(flagSYN|flagFIN) != 0:
		size = 1
	}
	w.passed.Add(int64(size))
	rest := w.backlog()
	err := w.put(frame, rest > 0 || kind == typeWindow && flags == flagSYN)
	if rest == 0 {
		signal(w.flushed)
	}
	if rest < backlogLimit && rest+size >= backlogLimit {
		signal(w.room)
	}
	return err
}

// grant tells the remote that it may send n bytes more of a stream. It does not wait for a frame that is being written.
func (w *writer) grant(id, n uint32) {
	var frame [headerSize]byte
	frame[1] = typeWindow
	binary.BigEndian.PutUint32(frame[4:], id)
	binary.BigEndian.PutUint32(frame[8:], n)
	w.grants.Lock()
	w.granted = append(w.granted, frame[:]...)
	w.owing.Store(true)
	w.grants.Unlock()
	w.settle()
}

// last writes the last frame of the connection. A frame that is being written may take no longer than within, too.
func (w *writer) last(frame []byte, within time.Duration) error {
	w.deadlines.Lock()
	w.final = true
	_ = w.conn.SetWriteDeadline(time.Now().Add(within))
	w.deadlines.Unlock()
	w.mu.Lock()
	defer w.done()
	return w.put(frame, false)
}

// close gives the buffer back. The connection is closed.
func (w *writer) close() {
	w.mu.Lock()
	defer w.done()
	_ = w.flush()
}

func (w *writer) done() {
	w.mu.Unlock()
	w.settle()
}

// settle writes what is granted, unless another goroutine is writing: then that one does.
func (w *writer) settle() {
	for w.owing.Load() && w.mu.TryLock() {
		w.collect()
		_ = w.flush() // the next write has the error, too
		w.mu.Unlock()
	}
}

// collect holds what is granted, as far as there is room. mu is held.
func (w *writer) collect() {
	w.grants.Lock()
	defer w.grants.Unlock()
	n := min(len(w.granted), (gatherSize-w.heldN)/headerSize*headerSize)
	w.hold(w.granted[:n])
	w.granted = append(w.granted[:0], w.granted[n:]...)
	w.owing.Store(len(w.granted) > 0)
}

// put writes a frame, or holds it when more follows. mu is held.
func (w *writer) put(frame []byte, more bool) error {
	if w.owing.Load() {
		w.collect()
	}
	if w.heldN+len(frame) <= gatherSize {
		w.hold(frame)
		if more {
			return nil
		}
		return w.flush()
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.write(frame)
}

func (w *writer) hold(p []byte) {
	if w.held == nil {
		w.held = gatherPool.Get().(*[gatherSize]byte)
	}
	w.heldN += copy(w.held[w.heldN:], p)
}

// flush writes what is held. mu is held.
func (w *writer) flush() error {
	if w.heldN == 0 {
		return nil
	}
	err := w.write(w.held[:w.heldN])
	gatherPool.Put(w.held)
	w.held, w.heldN = nil, 0
	return err
}

// write moves the deadline of the connection when half of its time is over, and writes.
func (w *writer) write(p []byte) error {
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
