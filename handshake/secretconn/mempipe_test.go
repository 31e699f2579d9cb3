package secretconn

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memPipe returns both ends of a connection in memory. Unlike net.Pipe it buffers writes, without bound.
func memPipe() (a, b *memConn) {
	x, y := newMemHalf(), newMemHalf()
	return &memConn{in: x, out: y}, &memConn{in: y, out: x}
}

type memConn struct{ in, out *memHalf }

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }

func (c *memConn) Close() error {
	c.in.end(net.ErrClosed)
	c.out.end(io.EOF)
	return nil
}

// CloseWrite ends the stream: the other end reads all earlier bytes, then io.EOF.
func (c *memConn) CloseWrite() { c.out.end(io.EOF) }

func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { return nil } // writes never wait
func (c *memConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *memConn) LocalAddr() net.Addr                { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr               { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "memory" }

// memHalf is one direction.
type memHalf struct {
	mu      sync.Mutex
	changed sync.Cond
	data    bytes.Buffer
	err     error // what a read returns when no data is left
	timer   *time.Timer
	late    bool
}

func newMemHalf() *memHalf {
	h := &memHalf{}
	h.changed.L = &h.mu
	return h
}

func (h *memHalf) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.data.Len() == 0 && h.err == nil && !h.late {
		h.changed.Wait()
	}
	switch {
	case h.late:
		return 0, os.ErrDeadlineExceeded
	case h.data.Len() > 0 && h.err != net.ErrClosed:
		return h.data.Read(p)
	}
	return 0, h.err
}

func (h *memHalf) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0, net.ErrClosed
	}
	h.changed.Broadcast()
	return h.data.Write(p)
}

func (h *memHalf) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || err == net.ErrClosed {
		h.err = err
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	h.changed.Broadcast()
}

func (h *memHalf) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.late = false
	if t.IsZero() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.timer == timer {
			h.late = true
			h.changed.Broadcast()
		}
	})
	h.timer = timer
}
