package yamux

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// gatherSize is how many bytes of short frames are written together at most.
	gatherSize = 8 << 10
	// directSize is the length from which on a frame's body is a part of its own, where the connection knows parts.
	directSize = 16 << 10
	// pingDelay is how long go-yamux's first ping may wait for another frame to go with. It measures the round trip, and a session begins by opening a stream,
	// or by answering to one.
	pingDelay = 50 * time.Millisecond
)

// parts is a connection that sends several parts together (handshake/tls), best so that a receiver finds each where it wants it, without a copy
// (handshake/noise).
type parts interface {
	WriteParts(parts ...[]byte) (int, error)
}

// writer writes frames. go-yamux makes a write, and so mostly a system call, of each. This one puts a short frame off while it is certain that
// another one comes at once: one that go-yamux has taken into its queue already. So nothing ever waits for longer than it takes to get there.
//
// What WriteReady takes does not pass go-yamux: it is framed and written here.
type writer struct {
	conn    net.Conn
	parts   parts                // nil: conn does not know parts
	prompt  transport.PromptConn // nil: every write of conn may wait
	timeout time.Duration        // how long a write may take
	patient atomic.Int64         // Patience, in nanoseconds
	sent    atomic.Uint64

	// queued is what go-yamux has queued for certain, passed is what of that kind came by: bytes of data, and 1 for a frame that opens or closes a
	// stream. queued is counted behind the call that queues, so it may be less than passed, and is never too much.
	queued atomic.Int64

	turn   chan struct{} // holds a value while a frame is written; guards what follows, and traffic.begun
	passed int64
	held   *[gatherSize]byte // borrowed, or nil
	heldN  int
	header [headerSize]byte // of a frame of ours, all else of which is zero

	late    *time.Timer // when what is held at the beginning is written even if no other frame has come
	spoken  bool        // something was written
	asked   bool        // the first ping has come
	ponged  bool        // the first pong has come
	hurried bool        // what is held waits for no longer than Patience
	pinging bool        // a ping is among what is held

	grants  sync.Mutex  // guards granted
	granted []byte      // frames that grant windows, which nobody has written yet
	owing   atomic.Bool // there are some

	deadlines sync.Mutex // guards what follows
	deadline  time.Time  // that the connection has
	final     bool       // it is not moved any more
	pinged    time.Time  // when go-yamux's last ping was written; zero: it was answered
}

var (
	gatherPool = sync.Pool{New: func() any { return new([gatherSize]byte) }}
	framePool  = sync.Pool{New: func() any { return new([]byte) }}
)

func newWriter(nc net.Conn, timeout time.Duration) writer {
	p, _ := nc.(parts)
	now, _ := nc.(transport.PromptConn)
	return writer{conn: nc, parts: p, prompt: now, timeout: timeout, turn: make(chan struct{}, 1)}
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

// write takes over a frame of go-yamux. t is the traffic of its stream if it begins one, else nil.
func (w *writer) write(frame []byte, t *traffic) error {
	w.turn <- struct{}{}
	defer w.done()
	w.passed += weight(frame)
	if frame[1] == typePing && frame[3] == flagSYN {
		w.pinging = true
	}
	if w.canWait(frame) {
		w.hold(frame)
		return nil
	}
	if t != nil {
		if t.begun && len(frame) == headerSize {
			return w.flush()
		}
		t.begun = true
	}
	return w.put(frame[:headerSize], frame[headerSize:], w.queued.Load() > w.passed)
}

// canWait says whether a frame waits for the next one, and sees to it that it does not wait for long. The turn is ours.
func (w *writer) canWait(frame []byte) bool {
	patience := time.Duration(w.patient.Load())
	ping := frame[1] == typePing && frame[3] == flagSYN && !w.asked
	pong := frame[1] == typePing && frame[3] == flagACK && !w.ponged && patience > 0
	accepted := frame[1] == typeWindow && frame[3] == flagACK && !w.spoken && patience > 0
	if !ping && !pong && !accepted || w.heldN+len(frame) > gatherSize {
		return false
	}
	w.asked, w.ponged = w.asked || ping, w.ponged || pong
	delay := patience
	if ping {
		delay = pingDelay
	}
	switch {
	case w.late == nil:
		w.late = time.AfterFunc(delay, w.tell)
	case !w.hurried:
		w.late.Reset(delay)
	}
	w.hurried = w.hurried || !ping
	return true
}

// data writes a piece of a stream.
func (w *writer) data(t *traffic, p []byte) error {
	w.turn <- struct{}{}
	defer w.done()
	flags := byte(0)
	if !t.begun {
		t.begun = true
		flags = flagSYN
	}
	return w.put(w.head(t.id, flags, len(p)), p, false)
}

// now writes a short piece of a stream, that is head and body, if that is possible at once.
func (w *writer) now(t *traffic, head, body []byte) bool {
	if w.prompt == nil {
		return false
	}
	select {
	case w.turn <- struct{}{}:
	default:
		return false
	}
	defer w.done()
	n, before := len(head)+len(body), w.heldN
	if !t.begun || w.owing.Load() || before+headerSize+n > gatherSize {
		return false
	}
	w.hold(w.head(t.id, 0, n))
	w.hold(head)
	w.hold(body)
	w.extend()
	if !w.prompt.WriteNow(w.held[:w.heldN]) {
		if w.heldN = before; before == 0 {
			w.release()
		}
		return false
	}
	w.sent.Add(uint64(w.heldN))
	w.said()
	w.release()
	return true
}

// head is the header of a frame of ours, until the next one. The turn is ours.
func (w *writer) head(id uint32, flags byte, n int) []byte {
	w.header[3] = flags
	binary.BigEndian.PutUint32(w.header[4:], id)
	binary.BigEndian.PutUint32(w.header[8:], uint32(n))
	return w.header[:]
}

// grant tells the remote that it may send n bytes more of a stream. It does not wait for others that write.
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

// done gives the turn back.
func (w *writer) done() {
	<-w.turn
	w.settle()
}

// settle writes what is granted, unless somebody has the turn: then he does.
func (w *writer) settle() {
	for w.owing.Load() {
		select {
		case w.turn <- struct{}{}:
			w.collect()
			_ = w.flush() // the next write tells
			<-w.turn
		default:
			return
		}
	}
}

// collect holds what is granted, as far as there is room. The turn is ours.
func (w *writer) collect() {
	w.grants.Lock()
	defer w.grants.Unlock()
	n := min(len(w.granted), (gatherSize-w.heldN)/headerSize*headerSize)
	if n > 0 {
		w.hold(w.granted[:n])
		w.granted = append(w.granted[:0], w.granted[n:]...)
	}
	w.owing.Store(len(w.granted) > 0)
}

// put writes a frame, or puts it off when more is to come at once. The turn is ours.
func (w *writer) put(header, body []byte, more bool) error {
	if w.owing.Load() {
		w.collect()
	}
	if w.heldN+headerSize+len(body) <= gatherSize {
		w.hold(header)
		w.hold(body)
		if more {
			return nil
		}
		return w.flush()
	}
	w.extend()
	if w.parts != nil && len(body) >= directSize {
		if w.heldN == 0 {
			return w.count(w.parts.WriteParts(header, body))
		}
		defer w.release()
		return w.count(w.parts.WriteParts(w.held[:w.heldN], header, body))
	}
	if err := w.flush(); err != nil {
		return err
	}
	whole := framePool.Get().(*[]byte)
	defer framePool.Put(whole)
	*whole = append(append((*whole)[:0], header...), body...)
	return w.count(w.conn.Write(*whole))
}

// said takes note that what is held is written. The turn is ours.
func (w *writer) said() {
	w.spoken, w.hurried = true, false
	if w.late != nil {
		w.late.Stop()
	}
}

// tell writes what has waited for long enough.
func (w *writer) tell() {
	w.turn <- struct{}{}
	defer w.done()
	_ = w.flush() // the next write tells
}

// end is called when the connection is closed.
func (w *writer) end() {
	w.turn <- struct{}{}
	defer w.done()
	_ = w.flush() // it fails, and gives the buffer back
}

// last writes the last frame of the connection, and lets a frame that is under way, too, take no longer than within.
func (w *writer) last(frame []byte, within time.Duration) error {
	w.deadlines.Lock()
	w.final = true
	_ = w.conn.SetWriteDeadline(time.Now().Add(within))
	w.deadlines.Unlock()
	w.turn <- struct{}{}
	defer w.done()
	return w.put(frame, nil, false)
}

func (w *writer) hold(p []byte) {
	if w.held == nil {
		w.held = gatherPool.Get().(*[gatherSize]byte)
	}
	w.heldN += copy(w.held[w.heldN:], p)
}

// extend is called before what is held is written, with the turn. It moves the deadline of the connection when half of its time is over: that costs more than
// looking at the clock.
func (w *writer) extend() {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()
	now := time.Now()
	if w.pinging {
		w.pinging, w.pinged = false, now
	}
	if !w.final && w.deadline.Sub(now) < w.timeout/2 {
		w.deadline = now.Add(w.timeout)
		_ = w.conn.SetWriteDeadline(w.deadline) // an error is that of a dead connection: the write tells
	}
}

// answered is how long go-yamux's last ping took, now that an answer has come; 0 if there was one before.
func (w *writer) answered() time.Duration {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()
	if w.pinged.IsZero() {
		return 0
	}
	took := time.Since(w.pinged)
	w.pinged = time.Time{}
	return took
}

// flush writes what was put off. The turn is ours.
func (w *writer) flush() error {
	if w.heldN == 0 {
		return nil
	}
	w.said()
	w.extend()
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
