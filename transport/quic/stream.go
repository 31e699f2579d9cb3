package quic

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is one stream. It implements muxer.RawStream. Until NotifyWritable is called it is quic-go's and nothing else; from
// then on what is written goes through laneOut.
type stream struct {
	conn *Conn
	quic *lib.Stream

	writing sync.Mutex  // held while quic-go's Write runs for one of ours
	closed  atomic.Bool // by Close
	out     atomic.Pointer[laneOut]
}

var _ muxer.RawStream = (*stream)(nil)

// NotifyWritable implements muxer.RawStream.
func (s *stream) NotifyWritable(f func()) {
	out := newLaneOut(s, f)
	s.out.Store(out)
	c := s.conn
	c.mu.Lock()
	up := c.ended == nil && !c.closed
	if up {
		if c.lanes == nil {
			c.lanes = make(map[*stream]struct{})
		}
		c.lanes[s] = struct{}{}
	}
	c.mu.Unlock()
	if !up {
		out.cut()
	}
}

// forget lets the connection forget a lane to which nothing more is written.
func (s *stream) forget() {
	s.conn.mu.Lock()
	delete(s.conn.lanes, s)
	s.conn.mu.Unlock()
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.quic.Read(p)
	return n, explainStream(err)
}

// Write implements net.Conn. Concurrent writes take turns, each in one piece.
func (s *stream) Write(p []byte) (int, error) {
	if out := s.out.Load(); out != nil {
		return out.write(p)
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
	return n, explainStream(err)
}

// Writable implements muxer.RawStream.
func (s *stream) Writable() int {
	if out := s.out.Load(); out != nil {
		return out.writable()
	}
	return laneOutSize
}

// WriteReady implements muxer.RawStream.
func (s *stream) WriteReady(p []byte) error {
	out := s.out.Load()
	if out == nil {
		_, err := s.Write(p)
		return err
	}
	if err := s.conn.awaitRoom(); err != nil {
		return err
	}
	return out.take(p)
}

// CloseWrite implements muxer.RawStream.
func (s *stream) CloseWrite() error {
	if out := s.out.Load(); out != nil {
		out.finish()
		return nil
	}
	return s.closeWrite()
}

// CloseRead implements muxer.RawStream.
func (s *stream) CloseRead() error {
	s.quic.CancelRead(0)
	return nil
}

// closeWrite sends the end of what we write. After a reset by the remote there is no end to send.
func (s *stream) closeWrite() error {
	_ = s.quic.Close()
	return nil
}

// Close implements net.Conn: it ends our writing side, and takes no more of what the remote sends.
func (s *stream) Close() error {
	if s.out.Load() == nil { // interrupts a Write that waits, which quic-go's Close does not
		s.closed.Store(true)
		_ = s.quic.SetWriteDeadline(time.Unix(1, 0))
		s.writing.Lock()
		defer s.writing.Unlock()
	}
	err := s.CloseWrite()
	_ = s.CloseRead()
	return err
}

// Reset implements muxer.RawStream.
func (s *stream) Reset(code muxer.Code) error {
	n := lib.StreamErrorCode(toWire(code))
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
func (s *stream) SetReadDeadline(t time.Time) error {
	return s.quic.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error {
	if s.closed.Load() {
		return nil
	}
	return s.quic.SetWriteDeadline(t)
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return s.conn.quic.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return s.conn.quic.RemoteAddr() }
