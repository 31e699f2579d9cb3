package yamux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	lib "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is one stream. It implements muxer.RawStream.
type stream struct {
	conn    *conn
	lib     *lib.Stream
	traffic *traffic

	writing sync.Mutex // writers take turns
}

var _ muxer.RawStream = (*stream)(nil)

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.lib.Read(p)
	if n > 0 {
		s.conn.mu.Lock()
		more := s.conn.consumed(s.traffic, n)
		s.conn.mu.Unlock()
		if more > 0 {
			s.conn.out.leave(header(typeWindow, 0, s.traffic.id, int(more)), false)
			s.conn.out.settle()
		}
		if err != nil && !errors.Is(err, io.EOF) { // of go-yamux's window update behind the bytes
			err = nil
		}
	}
	if errors.Is(err, lib.ErrTimeout) {
		if why := s.conn.why(); why == io.EOF {
			err = io.ErrUnexpectedEOF
		} else if why != nil {
			err = why
		}
	}
	return n, s.explain(err)
}

// Write implements net.Conn. Concurrent writes take turns, each in one piece.
func (s *stream) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for err == nil && n < len(p) {
		var wrote int
		wrote, err = s.writeSome(p[n:])
		n += wrote
	}
	return n, err
}

// writeSome writes one frame, once the remote has room for it and it is our turn.
func (s *stream) writeSome(p []byte) (int, error) {
	c, t := s.conn, s.traffic
	var late <-chan time.Time
	for {
		c.mu.Lock()
		n, err := c.writable(t, len(p))
		by := t.writeBy
		c.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if !by.IsZero() && late == nil {
			timer := time.NewTimer(time.Until(by))
			defer timer.Stop()
			late = timer.C
		}
		turn := c.out.turn
		if n == 0 {
			turn = nil
		}
		select {
		case turn <- struct{}{}:
			if n := c.writeData(t, p); n > 0 {
				return n, nil
			}
		case <-t.news:
		case <-late:
			late = nil
		case <-c.release:
		}
	}
}

// Writable implements muxer.RawStream. After a reset it is something, so that the caller learns of that.
func (s *stream) Writable() int {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.traffic.reset != nil {
		return initialWindow
	}
	return int(s.traffic.window)
}

// NotifyWritable implements muxer.RawStream.
func (s *stream) NotifyWritable(f func()) {
	s.conn.mu.Lock()
	s.traffic.notify = f
	s.conn.mu.Unlock()
}

// CloseWrite implements muxer.RawStream.
func (s *stream) CloseWrite() error {
	if err := s.finish(); err != nil {
		return err
	}
	_ = s.lib.CloseWrite() // it keeps the state, and its frame is dropped
	return nil
}

// finish ends our side.
func (s *stream) finish() error {
	c, t := s.conn, s.traffic
	defer c.out.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.finOut:
		return nil
	case t.reset != nil:
		return t.reset
	}
	flags := t.begin()
	t.finOut = true
	signal(t.news)
	c.tidy(t)
	c.out.leave(header(typeWindow, flags|flagFIN, t.id, 0), false)
	return nil
}

// CloseRead discards what has arrived and what arrives. The remote is not told, as yamux has no frame for that.
func (s *stream) CloseRead() error {
	s.conn.mu.Lock()
	s.traffic.deaf = true
	s.conn.mu.Unlock()
	return s.lib.CloseRead()
}

// Close implements net.Conn: it closes both sides.
func (s *stream) Close() error {
	err := s.finish()
	_ = s.lib.Close()
	s.conn.mu.Lock()
	s.traffic.closed, s.traffic.deaf = true, true
	s.conn.tidy(s.traffic)
	s.conn.mu.Unlock()
	return err
}

// Reset implements muxer.RawStream.
func (s *stream) Reset(code muxer.Code) error {
	c, t := s.conn, s.traffic
	c.mu.Lock()
	if t.reset == nil && !(t.finOut && t.finIn) {
		if t.begun {
			c.out.leave(header(typeWindow, flagRST, t.id, int(toWire(code))), false)
		}
		t.reset = errReset
		signal(t.news)
		c.tidy(t)
	}
	c.mu.Unlock()
	c.out.settle()
	return s.lib.Reset() // it keeps the state, and its frame is dropped
}

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn. Once the remote sends no more, no read waits.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.ended != nil {
		return nil
	}
	return s.lib.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.traffic.writeBy = t
	signal(s.traffic.news)
	return nil
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// explain makes go-yamux's errors those that callers of a net.Conn know.
func (s *stream) explain(err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.Is(err, lib.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, lib.ErrStreamReset):
		s.conn.mu.Lock()
		defer s.conn.mu.Unlock()
		if s.traffic.reset != nil {
			return s.traffic.reset
		}
		return errReset
	case errors.Is(err, lib.ErrStreamClosed), errors.Is(err, lib.ErrSessionShutdown):
		return net.ErrClosed
	}
	return err
}
