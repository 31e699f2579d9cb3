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
		if more := s.conn.consumed(s.traffic, n); more > 0 {
			s.conn.out.put(typeWindow, 0, s.traffic.id, more, nil)
			s.conn.out.flush()
		}
		if err != nil && !errors.Is(err, io.EOF) { // of go-yamux's window update behind the bytes
			err = nil
		}
	}
	if err == nil {
		return n, nil
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

// Write implements net.Conn. Concurrent writes take turns, each in one piece. It writes a frame whenever the remote has
// room and it is this stream's turn.
func (s *stream) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	c, t := s.conn, s.traffic
	for n < len(p) {
		c.mu.Lock()
		room, err := c.writable(t, len(p)-n)
		by := t.writeBy
		c.mu.Unlock()
		if err != nil {
			return n, err
		}
		var turn chan<- struct{}
		if room > 0 {
			turn = c.out.turn
		}
		free := false
		select {
		case turn <- struct{}{}: // mostly: it takes no timer
			free = true
		default:
			var late <-chan time.Time
			if !by.IsZero() {
				late = time.After(time.Until(by))
			}
			select {
			case turn <- struct{}{}:
				free = true
			case <-t.news:
			case <-late:
			case <-c.release:
			}
		}
		if !free {
			continue
		}
		c.mu.Lock()
		if room, _ = c.writable(t, len(p)-n); room > 0 {
			t.window -= int64(room)
			c.out.put(typeData, t.syn, t.id, room, p[n:n+room]) // with mu held: an end comes behind it
			t.syn = 0
			n += room
		}
		c.mu.Unlock()
		c.out.write()
	}
	return n, nil
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
	defer c.out.flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.finOut:
		return nil
	case t.reset != nil:
		return t.reset
	}
	c.out.put(typeWindow, t.syn|flagFIN, t.id, 0, nil)
	t.syn, t.finOut = 0, true
	signal(t.news)
	c.tidy(t)
	return nil
}

// CloseRead implements muxer.RawStream. It discards what has arrived and what arrives, up to the end of the window. The
// remote is not told: yamux has no frame for that.
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
func (s *stream) Reset(code muxer.Code) error { return s.ResetWith(code.Reset()) }

// ResetWith implements muxer.RawStream.
func (s *stream) ResetWith(code muxer.ResetCode) error {
	c, t := s.conn, s.traffic
	c.mu.Lock()
	if t.reset == nil && !(t.finOut && t.finIn) {
		if t.syn == 0 { // the remote knows of it
			c.out.put(typeWindow, flagRST, t.id, int(code), nil)
		}
		t.reset = &muxer.ResetError{Code: code}
		signal(t.news)
		c.tidy(t)
	}
	c.mu.Unlock()
	c.out.flush()
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
	case err == io.EOF:
		return err
	case errors.Is(err, lib.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, lib.ErrStreamReset):
		return s.gone()
	case errors.Is(err, lib.ErrStreamClosed), errors.Is(err, lib.ErrSessionShutdown):
		return net.ErrClosed
	}
	return err
}

// gone returns why go-yamux says that a stream was reset: it also does so after CloseRead, and when its session is
// over.
func (s *stream) gone() error {
	c, t := s.conn, s.traffic
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.reset != nil:
		return t.reset
	case t.deaf || c.ended == nil:
		return net.ErrClosed
	case c.ended == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return c.ended
}
