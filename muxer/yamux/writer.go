package yamux

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// gatherSize is how many bytes of short frames are written together at most.
	gatherSize = 8 << 10
	// directSize is the length from which on a frame's body is a part of its own, where the connection knows parts.
	directSize = 16 << 10
)

// parts is a connection that may send several parts as one, so that a receiver finds each where it wants it, without a copy (handshake/noise).
type parts interface {
	WriteParts(parts ...[]byte) (int, error)
}

// writer writes frames. go-yamux makes a write, and so mostly a system call, of each. This one puts a short frame off while it is certain that
// another one comes at once: one that go-yamux has taken into its queue already. So nothing ever waits for longer than it takes to get there.
type writer struct {
	conn  net.Conn
	parts parts // nil: conn does not know parts
	sent  atomic.Uint64

	// queued is what go-yamux has queued for certain, passed is what of that kind came by: bytes of data, and 1 for a frame that opens or closes a
	// stream. queued is counted behind the call that queues, so it may be less than passed, and is never too much.
	queued atomic.Int64

	turn   chan struct{} // holds a value while a frame is written; guards what follows
	passed int64
	held   *[gatherSize]byte // borrowed, or nil
	heldN  int
}

var gatherPool = sync.Pool{New: func() any { return new([gatherSize]byte) }}

func newWriter(nc net.Conn) writer {
	p, _ := nc.(parts)
	return writer{conn: nc, parts: p, turn: make(chan struct{}, 1)}
}

// weight is what a frame of go-yamux counts in queued and passed.
func weight(frame []byte) int64 {
	kind, flags := frame[1], binary.BigEndian.Uint16(frame[2:])
	switch {
	case kind == typeData:
		return int64(len(frame) - headerSize)
	case kind == typeWindow && flags&(flagSYN|flagFIN) != 0:
		return 1
	}
	return 0
}

// write takes over a frame. Nothing is put off when it is the last one.
func (w *writer) write(frame []byte, last bool) error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	w.passed += weight(frame)
	if w.heldN+len(frame) <= gatherSize {
		more := !last && w.queued.Load() > w.passed
		if !more && w.heldN == 0 {
			return w.count(w.conn.Write(frame))
		}
		if w.held == nil {
			w.held = gatherPool.Get().(*[gatherSize]byte)
		}
		w.heldN += copy(w.held[w.heldN:], frame)
		if more {
			return nil
		}
		return w.flush()
	}
	if w.parts != nil && len(frame) >= directSize {
		if w.heldN+headerSize > gatherSize {
			if err := w.flush(); err != nil {
				return err
			}
		}
		if w.heldN == 0 {
			return w.count(w.parts.WriteParts(frame[:headerSize], frame[headerSize:]))
		}
		before := w.held[:w.heldN]
		defer w.release()
		return w.count(w.parts.WriteParts(before, frame[:headerSize], frame[headerSize:]))
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.count(w.conn.Write(frame))
}

// flush writes what was put off. The turn is ours.
func (w *writer) flush() error {
	if w.heldN == 0 {
		return nil
	}
	defer w.release()
	return w.count(w.conn.Write(w.held[:w.heldN]))
}

func (w *writer) release() {
	gatherPool.Put(w.held)
	w.held, w.heldN = nil, 0
}

func (w *writer) count(n int, err error) error {
	w.sent.Add(uint64(n))
	return err
}
