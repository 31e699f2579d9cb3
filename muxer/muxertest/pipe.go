// Package muxertest is the suite that every muxer.Session passes, and what it needs: connections in memory that
// work under testing/synctest, and a handler that keeps what it gets.
package muxertest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe makes a connection in memory: what is written to one end can be read from the other. Each direction holds up to
// size bytes (at least one) before a write waits, as a socket's buffers do. Deadlines work. It needs no goroutine and,
// under testing/synctest, waits durably.
func Pipe(size int) (net.Conn, net.Conn) {
	ab, ba := newFlow(size), newFlow(size)
	return &pipeEnd{in: ba, out: ab}, &pipeEnd{in: ab, out: ba}
}

// flow is one direction of a pipe.
type flow struct {
	mu     sync.Mutex
	change sync.Cond
	buf    []byte // a ring
	start  int
	used   int

	writerGone, readerGone bool
	readBy, writeBy        deadline
}

type deadline struct {
	timer  *time.Timer
	passed bool
}

func newFlow(size int) *flow {
	f := &flow{buf: make([]byte, max(size, 1))}
	f.change.L = &f.mu
	return f
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.readerGone:
			return 0, net.ErrClosed
		case f.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case f.used > 0:
			n := copy(p, f.buf[f.start:min(f.start+f.used, len(f.buf))])
			f.start = (f.start + n) % len(f.buf)
			if f.used -= n; f.used == 0 {
				f.start = 0
			}
			f.change.Broadcast()
			return n, nil
		case f.writerGone:
			return 0, io.EOF
		}
		f.change.Wait()
	}
}

func (f *flow) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := 0
	for {
		switch {
		case f.writerGone:
			return total, net.ErrClosed
		case f.readerGone:
			return total, io.ErrClosedPipe
		case f.writeBy.passed:
			return total, os.ErrDeadlineExceeded
		case len(p) == 0:
			return total, nil
		case f.used < len(f.buf):
			at := (f.start + f.used) % len(f.buf)
			n := copy(f.buf[at:min(at+len(f.buf)-f.used, len(f.buf))], p)
			f.used += n
			total += n
			p = p[n:]
			f.change.Broadcast()
			continue
		}
		f.change.Wait()
	}
}

func (f *flow) set(d *deadline, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.passed {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if d.timer == timer {
				d.passed = true
				f.change.Broadcast()
			}
		})
		d.timer = timer
	}
	f.change.Broadcast()
}

// leave closes the reader's or the writer's end.
func (f *flow) leave(gone *bool) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first = !*gone
	*gone = true
	for _, d := range []*deadline{&f.readBy, &f.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
	}
	f.change.Broadcast()
	return first
}

type pipeEnd struct{ in, out *flow }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (e *pipeEnd) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *pipeEnd) Write(p []byte) (int, error) { return e.out.write(p) }
func (e *pipeEnd) LocalAddr() net.Addr         { return pipeAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr        { return pipeAddr{} }

func (e *pipeEnd) Close() error {
	e.out.leave(&e.out.writerGone)
	if !e.in.leave(&e.in.readerGone) {
		return net.ErrClosed
	}
	return nil
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.set(&e.in.readBy, t)
	return nil
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.set(&e.out.writeBy, t)
	return nil
}
