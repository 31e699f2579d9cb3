package yamux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is one stream. It implements muxer.RawStream.
type stream struct {
	conn    *conn
	lib     *lib.Stream
	traffic *traffic

	writing sync.Mutex // writers take turns: two at once overrun the remote's window
	writeBy atomic.Pointer[time.Time]
	ended   atomic.Bool // go-yamux has queued the end of our side
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
		if more > 0 && !s.conn.lost.Load() {
			s.conn.out.grant(s.traffic.id, more)
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

// Write implements net.Conn. Concurrent writes take turns, each in one piece. A piece of it waits while much is queued, so
// that a stream which writes much holds up no other for long.
func (s *stream) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for {
		if !s.conn.out.await(s.conn.release, s.deadline()) {
			return n, s.explain(lib.ErrTimeout)
		}
		piece := p[n:min(len(p), n+s.conn.muxer.cfg.MaxFrame)]
		wrote, err := s.lib.Write(piece)
		n += wrote
		s.conn.mu.Lock()
		s.traffic.window -= int64(wrote)
		s.conn.mu.Unlock()
		s.conn.out.queue(wrote)
		if err != nil || n == len(p) {
			return n, s.explain(err)
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
	return int(max(s.traffic.window, 0))
}

// WriteReady implements muxer.RawStream. It waits for nothing but the connection.
func (s *stream) WriteReady(p []byte) error {
	_, err := s.Write(p)
	return err
}

// NotifyWritable implements muxer.RawStream.
func (s *stream) NotifyWritable(f func()) {
	s.conn.mu.Lock()
	s.traffic.notify = f
	s.conn.mu.Unlock()
}

// CloseWrite implements muxer.RawStream.
func (s *stream) CloseWrite() error {
	err := s.lib.CloseWrite()
	s.closed(err)
	return s.explain(err)
}

// closed counts the frame that go-yamux queues at the first call that closes our side.
func (s *stream) closed(err error) {
	if err == nil && !s.ended.Swap(true) {
		s.conn.out.queued.Add(1)
	}
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
	err := s.lib.Close()
	s.closed(err)
	s.conn.mu.Lock()
	s.traffic.closed, s.traffic.deaf = true, true
	s.conn.tidy(s.traffic)
	s.conn.mu.Unlock()
	return s.explain(err)
}

// Reset implements muxer.RawStream.
func (s *stream) Reset(code muxer.Code) error {
	s.conn.mu.Lock()
	s.traffic.code = code
	s.conn.mu.Unlock()
	return s.explain(s.lib.Reset())
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
	s.writeBy.Store(&t)
	return s.lib.SetWriteDeadline(t)
}

// deadline is that of writes; zero: none.
func (s *stream) deadline() (t time.Time) {
	if by := s.writeBy.Load(); by != nil {
		t = *by
	}
	return t
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
