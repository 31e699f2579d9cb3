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
	body int64 // bytes of the current frame's body that are still to come

	asked bool // a ping was sent; go-yamux's writer owns it

	received atomic.Uint64

	mu      sync.Mutex // guards what follows, and every traffic
	streams map[uint32]*traffic
	remote  int   // how many of them the remote has opened
	pending int   // how many of those are not yet accepted
	memory  int   // heap that received data holds, until the connection is closed
	grown   int   // by how much the windows of streams are larger than they began
	ended   error // why the remote sends no more
	cause   error // why the connection takes no more
	closed  bool
	up      bool // the link is up
	late    *time.Timer
	session *session

	news      chan struct{} // a stream has arrived, or the end: Accept looks again
	room      chan struct{} // a stream was accepted, the link is up, or memory is free: the reader looks again
	over      chan struct{} // closed when ended is set
	release   chan struct{} // closed with the connection
	closeOnce sync.Once
}

func newConn(nc net.Conn, m *Muxer) *conn {
	c := &conn{
		Conn: nc, muxer: m, streams: map[uint32]*traffic{},
		news: make(chan struct{}, 1), room: make(chan struct{}, 1), over: make(chan struct{}),
		release: make(chan struct{}),
	}
	c.out = writer{conn: nc, timeout: m.cfg.Timeout, failed: c.lose, turn: make(chan struct{}, 1)}
	return c
}

// signal leaves a note in a channel with room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fail notes why the remote sends no more, and ends the reads that wait for it; the first reason counts. What has
// arrived can still be read.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = err
		close(c.over)
		for _, t := range c.streams {
			if t.lib != nil {
				_ = t.lib.SetReadDeadline(longAgo)
			}
		}
	}
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
		n, err := c.Conn.Read(p[:min(int64(len(p)), c.body)])
		c.received.Add(uint64(n))
		c.body -= int64(n)
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
		passed, err := io.CopyN(io.Discard, c.Conn, c.body)
		c.received.Add(uint64(passed))
		if c.body = 0; err != nil {
			return 0, c.end(cutShort(err))
		}
		if what == strip {
			clear(c.head[8:])
			return copy(p, c.head[:]), nil
		}
		c.out.put(typeWindow, flagRST, binary.BigEndian.Uint32(c.head[4:]),
			int(muxer.CodeTooManyStarts.Reset()), nil)
		c.out.drain()
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
func (c *conn) note(h []byte) (what verdict, err error) {
	kind, flags := h[1], binary.BigEndian.Uint16(h[2:])
	id, length := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	switch {
	case kind == typeGoAway:
		return pass, goneAway(length)
	case kind == typePing && flags&flagACK != 0:
		c.out.answered()
		return pass, nil
	case kind == typeData:
		c.body = int64(length)
	case kind != typeWindow:
		return pass, nil
	}
	c.mu.Lock()
	if !c.up || flags&flagSYN != 0 {
		c.awaitRoom(flags)
	}
	t := c.streams[id]
	begins := t == nil && flags&flagSYN != 0
	if begins {
		t = c.arrive(id)
	}
	if t == nil {
		c.mu.Unlock()
		if begins { // it is one too many
			return refuse, nil
		}
		return pass, nil // it is over; go-yamux passes over the body
	}
	switch {
	case kind == typeData && length > 0:
		what, err = c.arrived(t, length, flags)
	case kind == typeWindow && flags&flagRST == 0:
		if t.window += int64(length); t.window > math.MaxUint32 {
			err = &muxer.CloseError{Code: muxer.CodeProtocolError, Reason: "yamux: a window of more than 4 GiB"}
		}
	}
	if flags&(flagFIN|flagRST) != 0 {
		t.finIn = t.finIn || flags&flagFIN != 0
		if flags&flagRST != 0 && t.reset == nil {
			t.reset = &muxer.ResetError{Remote: true}
			if kind == typeWindow { // go-yamux 5 and rust-yamux put the code where a window update has its length
				t.reset.Code = muxer.ResetCode(length)
			}
		}
		c.tidy(t)
	}
	if begins && err == nil {
		err = c.charge(t, streamCost)
	}
	if begins && err == nil { // go-yamux will see it
		c.pending++
		signal(c.news)
	}
	notify := t.notify
	c.mu.Unlock()
	if err == nil && (kind == typeWindow || flags&flagRST != 0) {
		signal(t.news)
		if notify != nil {
			notify()
		}
	}
	return what, err
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
	}
	<-c.release
	return io.EOF
}

// awaitRoom waits while as many streams as go-yamux keeps wait for Accept, and another one begins. Until the link is
// up, it also waits while the connection holds earlyMost. mu is held, but for the wait.
func (c *conn) awaitRoom(flags uint16) {
	for !c.closed && (flags&flagSYN != 0 && c.pending >= acceptBacklog || !c.up && c.memory >= earlyMost) {
		c.mu.Unlock()
		select {
		case <-c.room:
		case <-c.release:
		}
		c.mu.Lock()
	}
}

// Write implements net.Conn for go-yamux, which writes one frame at a time. Pings and their answers go out; the first
// ping, and what acknowledges a stream, with the next frame; all else of streams was said by them, with codes and
// windows of ours. Write never fails: go-yamux would discard what the remote has said before it hung up.
func (c *conn) Write(frame []byte) (int, error) {
	if len(frame) < headerSize {
		return 0, errors.New("yamux: a frame without a header")
	}
	kind, flags := frame[1], frame[3]
	id, length := binary.BigEndian.Uint32(frame[4:]), int(binary.BigEndian.Uint32(frame[8:]))
	mayWait := false
	switch {
	case kind == typeWindow && flags == flagACK:
		length, mayWait = 0, true
	case kind == typeWindow:
		return len(frame), nil
	case kind == typePing && flags == flagSYN: // the first one measures the round trip of a session that begins to talk
		mayWait, c.asked = !c.asked, true
	}
	if waits := c.out.put(kind, flags, id, length, nil); mayWait && waits < waitSize {
		c.out.later()
	} else { // else the remote reads nothing, and Accept waits
		c.out.drain()
	}
	return len(frame), nil
}

// SetWriteDeadline implements net.Conn for go-yamux: the writer sets its own.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// lose notes that the connection takes no more. The reader goes on for a moment.
func (c *conn) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.cause = connError(err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.cause = &muxer.CloseError{Code: muxer.CodeTimeout, Reason: "the remote takes nothing", Err: err}
	}
	c.late = time.AfterFunc(lastWords, func() { _ = c.Conn.Close() })
}

// arrivals reports whether a stream waits for Accept, and why there will be no others.
func (c *conn) arrivals() (pending bool, ended error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending > 0, c.ended
}
