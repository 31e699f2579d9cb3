package yamux

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Frames (go-yamux spec.md): version, type, flags (2 bytes), stream id (4), length (4), all big endian.
const (
	headerSize = 12

	typeData   = 0
	typeWindow = 1
	typePing   = 2
	typeGoAway = 3

	flagSYN = 1
	flagACK = 2
	flagFIN = 4
	flagRST = 8
)

// lastWords is how long the reader goes on after the connection takes no more.
const lastWords = time.Second

// conn is the connection beneath go-yamux. It watches the frames that pass: go-yamux reads a header of 12 bytes, then
// exactly its body, and writes one frame a Write.
type conn struct {
	net.Conn
	muxer *Muxer
	out   writer

	// The reader's own; go-yamux has one. There is no buffer: a secured connection has one beneath.
	head [headerSize]byte
	body int // bytes of the current frame's body that are still to come

	asked bool // a ping was sent; go-yamux's writer owns it

	received atomic.Uint64
	lost     atomic.Bool // the connection takes no more

	mu      sync.Mutex // guards what follows, and every traffic
	streams map[uint32]*traffic
	remote  int   // how many of them the remote has opened
	pending int   // how many of those are not yet accepted
	memory  int   // heap that received data holds, until the connection is closed
	grown   int   // by how much the windows of streams are larger than they began
	ended   error // why the remote sends no more
	cause   error // why the connection takes no more
	closed  bool
	late    *time.Timer
	rtt     time.Duration
	session *session

	news      chan struct{} // a stream has arrived, or the end: Accept looks again
	room      chan struct{} // a stream was accepted
	over      chan struct{} // closed when ended is set
	release   chan struct{} // closed with the connection
	closeOnce sync.Once
}

func newConn(nc net.Conn, m *Muxer) *conn {
	return &conn{
		Conn: nc, muxer: m, out: newWriter(nc, m.cfg.Timeout), streams: map[uint32]*traffic{},
		news: make(chan struct{}, 1), room: make(chan struct{}, 1), over: make(chan struct{}),
		release: make(chan struct{}),
	}
}

// begin names the session that is asked why go-yamux ends the connection.
func (c *conn) begin(s *session) {
	c.mu.Lock()
	c.session = s
	closed := c.closed
	c.mu.Unlock()
	if closed { // before there was a session to ask
		c.fail(s.failed())
	}
}

// signal leaves a note in a channel with room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fail notes why the remote sends no more; the first reason counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.ended == nil {
		c.ended = err
		close(c.over)
	}
	c.mu.Unlock()
	signal(c.news)
}

// why returns the reason for which the remote ended the connection; nil while it has not.
func (c *conn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Close implements net.Conn, and releases a reader that waits at the end of the input.
func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		c.mu.Lock()
		close(c.release)
		c.muxer.memory.Add(int64(-c.memory)) // the streams' buffers go with it
		c.grow(-c.grown)
		if c.late != nil {
			c.late.Stop()
		}
		c.closed = true
		c.pending = 0 // go-yamux hands out none any more
		s := c.session
		c.mu.Unlock()
		if s != nil && !s.closed.Load() { // go-yamux closes it: the remote broke the protocol, or is silent
			c.fail(s.failed())
		}
	})
	return c.Conn.Close()
}

// Read implements net.Conn for go-yamux, which asks for a header, then for exactly its body.
func (c *conn) Read(p []byte) (int, error) {
	if c.body > 0 {
		n, err := c.Conn.Read(p[:min(len(p), c.body)])
		c.received.Add(uint64(n))
		c.body -= n
		if n > 0 || err == nil { // an error comes again
			return n, nil
		}
		return 0, c.end(cutShort(err))
	}
	if len(p) < headerSize {
		return 0, errors.New("yamux: a header is read in pieces")
	}
	for {
		n, err := io.ReadFull(c.Conn, c.head[:])
		c.received.Add(uint64(n))
		if err != nil {
			return 0, c.end(err)
		}
		what, err := c.note(c.head[:])
		if err != nil {
			return 0, c.end(err)
		}
		if what == pass {
			return copy(p, c.head[:]), nil
		}
		passed, err := io.CopyN(io.Discard, c.Conn, int64(c.body))
		c.received.Add(uint64(passed))
		if c.body = 0; err != nil {
			return 0, c.end(cutShort(err))
		}
		if what == strip {
			clear(c.head[8:])
			return copy(p, c.head[:]), nil
		}
		c.refuse(binary.BigEndian.Uint32(c.head[4:]))
	}
}

// A verdict is what go-yamux sees of a frame.
type verdict uint8

const (
	pass   verdict = iota // all
	strip                 // the header, without a body
	refuse                // nothing: the stream is one too many
)

// note takes note of a header that has arrived. An error ends the connection before go-yamux sees the frame.
func (c *conn) note(h []byte) (verdict, error) {
	kind, flags := h[1], binary.BigEndian.Uint16(h[2:])
	id, length := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	switch {
	case kind == typeGoAway:
		return pass, goneAway(length)
	case kind == typePing && flags&flagACK != 0:
		c.measured()
		return pass, nil
	case kind == typeData:
		c.body = int(length)
	case kind != typeWindow:
		return pass, nil
	}
	c.mu.Lock()
	t := c.streams[id]
	begins := t == nil && flags&flagSYN != 0
	if t == nil && !begins { // it is over; go-yamux passes over the body
		c.mu.Unlock()
		return pass, nil
	}
	if begins {
		if c.remote >= c.muxer.cfg.MaxStreams {
			c.mu.Unlock()
			return refuse, nil
		}
		c.awaitAccept()
		t = c.arrive(id)
	}
	what, err := c.noteStream(t, kind, flags, length)
	if begins && err == nil {
		err = c.charge(t, streamCost)
	}
	if begins && err != nil { // go-yamux will not see it
		c.pending--
	}
	var notify func()
	if kind == typeWindow && length > 0 || t.reset != nil {
		notify = t.notify
		signal(t.news)
	}
	c.mu.Unlock()
	if begins {
		signal(c.news)
	}
	if notify != nil && err == nil {
		notify()
	}
	return what, err
}

// awaitAccept waits while as many streams as go-yamux keeps wait for Accept. mu is held, but for the wait.
func (c *conn) awaitAccept() {
	for c.pending >= acceptBacklog && !c.closed {
		c.mu.Unlock()
		select {
		case <-c.room:
		case <-c.release:
		}
		c.mu.Lock()
	}
}

// noteStream takes note of a frame of a stream. mu is held.
func (c *conn) noteStream(t *traffic, kind byte, flags uint16, length uint32) (verdict, error) {
	what := pass
	switch {
	case kind == typeData && length > 0:
		if err := t.in.take(length); err != nil {
			return pass, err
		}
		if t.deaf || t.reset != nil || flags&flagRST != 0 {
			what = strip
		} else if err := c.charge(t, t.frames.push(length)); err != nil {
			return pass, err
		}
	case kind == typeWindow && flags&flagRST == 0:
		if t.window += int64(length); t.window > math.MaxUint32 {
			return pass, &muxer.CloseError{Code: muxer.CodeProtocolError, Reason: "yamux: a window of more than 4 GiB"}
		}
	}
	if flags&flagRST != 0 && t.reset == nil {
		t.reset = resetBy(length)
	}
	t.finIn = t.finIn || flags&flagFIN != 0
	c.tidy(t)
	return what, nil
}

// refuse resets a stream that the remote has opened.
func (c *conn) refuse(id uint32) {
	frame := header(typeWindow, flagRST, id, int(toWire(muxer.CodeTooManyStarts)))
	if err := c.out.write(frame[:]); err != nil {
		c.lose(err)
	}
}

// end notes that nothing more comes, and waits for Close: go-yamux would discard what has arrived and is not yet read.
func (c *conn) end(err error) error {
	var ce *muxer.CloseError
	if !errors.As(err, &ce) {
		err = connError(err)
	}
	c.mu.Lock()
	if c.cause != nil && !errors.Is(err, io.EOF) {
		err = c.cause
	}
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		c.fail(err)
		c.letGo()
	}
	<-c.release
	return io.EOF
}

// letGo ends the reads that wait for what the remote cannot send any more. What has arrived can still be read.
func (c *conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.streams {
		if t.lib != nil {
			_ = t.lib.SetReadDeadline(longAgo)
		}
	}
}

// Write implements net.Conn for go-yamux, which writes one frame at a time. Pings and their answers go out; the first
// ping, and what acknowledges a stream, with the next frame; all else of streams was said by them, with codes and
// windows of ours. Write never fails: go-yamux would discard what the remote has said before it hung up.
func (c *conn) Write(frame []byte) (int, error) {
	if len(frame) < headerSize {
		return 0, errors.New("yamux: a frame without a header")
	}
	switch kind, flags := frame[1], frame[3]; {
	case kind == typeWindow && flags == flagACK:
		clear(frame[8:headerSize]) // go-yamux has made the frame for this one call
		if !c.out.full() {         // else the remote reads nothing, and Accept waits
			c.out.leave([headerSize]byte(frame), true)
			return len(frame), nil
		}
	case kind == typeWindow:
		return len(frame), nil
	case kind == typePing && flags == flagSYN: // the first one measures the round trip of a session that begins to talk
		c.out.leave([headerSize]byte(frame), !c.asked)
		c.asked = true
		c.out.settle()
		return len(frame), nil
	}
	if !c.lost.Load() {
		if err := c.out.write(frame); err != nil {
			c.lose(err)
		}
	}
	return len(frame), nil
}

// writeData writes a frame of a stream with as much of p as the remote takes. It has the turn to write, and gives it
// back.
func (c *conn) writeData(t *traffic, p []byte) int {
	defer c.out.done()
	c.mu.Lock()
	n, _ := c.writable(t, len(p))
	if n == 0 {
		c.mu.Unlock()
		return 0
	}
	t.window -= int64(n)
	head := header(typeData, t.begin(), t.id, n)
	buf := c.out.take(headerSize + n) // with mu held: an end that is left later comes behind the frame
	c.mu.Unlock()
	if !c.lost.Load() {
		if err := c.out.send(append(append(buf, head[:]...), p[:n]...)); err != nil {
			c.lose(err)
		}
	}
	return n
}

// SetWriteDeadline implements net.Conn for go-yamux: the writer sets its own.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// lose notes that the connection takes no more. The reader goes on for a moment.
func (c *conn) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost.Swap(true) || c.closed {
		return
	}
	c.cause = connError(err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.cause = &muxer.CloseError{Code: muxer.CodeTimeout, Reason: "the remote takes nothing", Err: err}
	}
	c.late = time.AfterFunc(lastWords, func() { _ = c.Conn.Close() })
}

// goAway tells the remote why we end the connection. A remote that takes nothing holds us up for at most within.
func (c *conn) goAway(code muxer.Code, within time.Duration) {
	frame := header(typeGoAway, 0, 0, int(toWire(code)))
	_ = c.out.last(frame[:], within) // the connection ends in any case
}

// measured notes that a ping of ours was answered.
func (c *conn) measured() {
	rtt := c.out.answered()
	if rtt <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rtt > 0 {
		rtt = (c.rtt + rtt) / 2
	}
	c.rtt = rtt
}

// arrivals reports whether a stream waits for Accept, and why there will be no others.
func (c *conn) arrivals() (pending bool, ended error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending > 0, c.ended
}
