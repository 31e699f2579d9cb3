package quic

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is one stream. It implements muxer.RawStream. Until Watch is called it is quic-go's and nothing else; from then on it is a lane: input goes through
// laneIn, and what WriteReady takes through laneOut.
type stream struct {
	conn *Conn
	quic *lib.Stream

	writing sync.Mutex  // held while quic-go's Write runs for one of ours
	closed  atomic.Bool // by Close

	mu    sync.Mutex // held by Watch
	in    *laneIn    // set once, as out, ahead of laned
	out   *laneOut
	laned atomic.Bool
	f     atomic.Pointer[func()]
}

var (
	_ muxer.RawStream    = (*stream)(nil)
	_ muxer.PromptStream = (*stream)(nil)
	_ muxer.PromptWriter = (*stream)(nil)
)

// Watch implements muxer.RawStream. It must not be called while Read waits.
func (s *stream) Watch(f func()) {
	s.mu.Lock()
	s.f.Store(&f)
	begin := s.in == nil
	if begin {
		s.in, s.out = newLaneIn(s), newLaneOut(s)
		s.laned.Store(true)
	}
	s.mu.Unlock()
	if !begin {
		return
	}
	_ = s.quic.SetReadDeadline(time.Time{}) // laneIn has its own
	c := s.conn
	c.mu.Lock()
	up := c.ended == nil && !c.closed
	if up {
		if c.lanes == nil {
			c.lanes = make(map[*stream]struct{})
		}
		c.lanes[s] = struct{}{}
		c.readers.Go(s.in.run)
	}
	c.mu.Unlock()
	if !up {
		s.cut()
	}
}

// changed tells the one who watches.
func (s *stream) changed() {
	if f := s.f.Load(); f != nil {
		(*f)()
	}
}

// lane is both halves; nil before Watch.
func (s *stream) lane() (*laneIn, *laneOut) {
	if !s.laned.Load() {
		return nil, nil
	}
	return s.in, s.out
}

// cut ends the lane with its connection.
func (s *stream) cut() {
	in, out := s.lane()
	in.cut()
	out.cut()
}

// tidy lets the connection forget a lane on which nothing more can happen.
func (s *stream) tidy() {
	in, out := s.lane()
	select {
	case <-in.done:
	default:
		return
	}
	if !in.isReset() && !out.isOver() {
		return
	}
	s.conn.mu.Lock()
	delete(s.conn.lanes, s)
	s.conn.mu.Unlock()
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	if in, _ := s.lane(); in != nil {
		return in.read(p)
	}
	n, err := s.quic.Read(p)
	return n, explainStream(err)
}

// ReadNow implements muxer.PromptStream. The goroutine is the lane's own.
func (s *stream) ReadNow(p []byte) int {
	in, _ := s.lane()
	if in == nil {
		return 0
	}
	return in.readNow(p)
}

// Write implements net.Conn. Concurrent writes take turns, each in one piece.
func (s *stream) Write(p []byte) (int, error) {
	if _, out := s.lane(); out != nil {
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

// Ready implements muxer.RawStream. Before Watch nothing is known of input.
func (s *stream) Ready() muxer.Ready {
	in, out := s.lane()
	if in == nil {
		return muxer.Ready{Writable: laneOutSize}
	}
	var r muxer.Ready
	in.ready(&r)
	out.ready(&r)
	return r
}

// WriteReady implements muxer.RawStream.
func (s *stream) WriteReady(p []byte) error {
	_, out := s.lane()
	if out == nil {
		_, err := s.Write(p)
		return err
	}
	return out.take(p)
}

// WriteNow implements muxer.PromptWriter.
func (s *stream) WriteNow(head, body []byte) bool {
	_, out := s.lane()
	return out != nil && out.now(head, body)
}

// CloseWrite implements muxer.RawStream.
func (s *stream) CloseWrite() error {
	if _, out := s.lane(); out != nil {
		out.finish()
		s.tidy()
		return nil
	}
	return s.closeWrite()
}

// closeWrite sends the end of what we write. After a reset by the remote there is no end to send.
func (s *stream) closeWrite() error {
	_ = s.quic.Close()
	return nil
}

// Close implements net.Conn: it ends our writing side, and takes no more of what the remote sends.
func (s *stream) Close() error {
	if _, out := s.lane(); out == nil { // interrupts a Write that waits, which quic-go's Close does not
		s.closed.Store(true)
		_ = s.quic.SetWriteDeadline(time.Unix(1, 0))
		s.writing.Lock()
		defer s.writing.Unlock()
	}
	err := s.CloseWrite()
	s.quic.CancelRead(0)
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
	if in, _ := s.lane(); in != nil {
		in.setDeadline(t)
		return nil
	}
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
