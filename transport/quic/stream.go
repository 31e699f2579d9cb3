package quic

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is one stream. It implements muxer.RawStream. It is quic-go's and nothing else until
// NotifyWritable: from then on a lane is its writing half.
type stream struct {
	conn *Conn
	quic *lib.Stream
	lane atomic.Pointer[lane]

	writing sync.Mutex  // held while quic-go's Write runs for one of ours
	closed  atomic.Bool // by Close
	reset   atomic.Bool // by ResetWith
}

var _ muxer.RawStream = (*stream)(nil)

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.quic.Read(p)
	return n, explainStream(err, s.reset.Load())
}

// Write implements net.Conn. Concurrent writes take turns, each in one piece.
func (s *stream) Write(p []byte) (int, error) {
	if l := s.lane.Load(); l != nil {
		return l.write(p)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.quic.Write(p)
	if err != nil && s.closed.Load() {
		return n, net.ErrClosed
	}
	return n, explainStream(err, s.reset.Load())
}

// Writable implements muxer.RawStream.
func (s *stream) Writable() int {
	if l := s.lane.Load(); l != nil {
		return l.writable()
	}
	return 0
}

// NotifyWritable implements muxer.RawStream.
func (s *stream) NotifyWritable(f func()) {
	l := &lane{s: s, notify: f}
	s.lane.Store(l)
	s.conn.addLane(l)
}

// CloseWrite implements muxer.RawStream.
func (s *stream) CloseWrite() error {
	if l := s.lane.Load(); l != nil {
		l.finish()
		return nil
	}
	_ = s.quic.Close() // after a reset by the remote there is no end to send
	return nil
}

// CloseRead implements muxer.RawStream. The remote is told to stop sending.
func (s *stream) CloseRead() error {
	s.quic.CancelRead(0)
	return nil
}

// Close implements net.Conn.
func (s *stream) Close() error {
	if s.lane.Load() == nil { // interrupt a Write that waits, which quic-go's Close does not
		s.closed.Store(true)
		_ = s.quic.SetWriteDeadline(time.Unix(1, 0))
		s.writing.Lock()
		defer s.writing.Unlock()
	}
	_ = s.CloseWrite()
	return s.CloseRead()
}

// Reset implements muxer.RawStream.
func (s *stream) Reset(code muxer.Code) error { return s.ResetWith(code.Reset()) }

// ResetWith implements muxer.RawStream.
func (s *stream) ResetWith(code muxer.ResetCode) error {
	s.reset.Store(true)
	n := lib.StreamErrorCode(code)
	s.quic.CancelRead(n)
	s.quic.CancelWrite(n)
	return nil
}

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *stream) SetReadDeadline(t time.Time) error { return s.quic.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. A lane has its own.
func (s *stream) SetWriteDeadline(t time.Time) error {
	if s.closed.Load() || s.lane.Load() != nil {
		return nil
	}
	return s.quic.SetWriteDeadline(t)
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return s.conn.quic.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return s.conn.quic.RemoteAddr() }

// explain makes an error of quic-go's what callers of a net.Conn know.
func (s *stream) explain(err error) error {
	if err != nil {
		if why := s.conn.why(); why != nil {
			return why
		}
	}
	return explainStream(err, s.reset.Load())
}
