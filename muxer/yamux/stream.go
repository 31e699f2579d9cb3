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

// errReset says that a stream was reset, by either end or with its connection.
var errReset = &muxer.CloseError{Code: muxer.CodeRemoteClosed, Reason: "the stream was reset", Err: io.ErrClosedPipe}

// stream is one stream. It implements muxer.RawStream.
type stream struct {
	conn    *conn
	lib     *lib.Stream
	traffic *traffic

	writing sync.Mutex   // writers take turns: two at once overrun the remote's window
	ended   atomic.Bool  // we have closed our side
	over    atomic.Bool  // or begun to do so, or to reset the stream
	writeBy atomic.Int64 // the deadline of writes, in Unix nanoseconds; 0: none
}

var (
	_ muxer.RawStream    = (*stream)(nil)
	_ muxer.PromptStream = (*stream)(nil)
	_ muxer.PromptWriter = (*stream)(nil)
	_ muxer.EndWriter    = (*stream)(nil)
)

func (c *conn) stream(s *lib.Stream) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(s.StreamID())
	t.lib = s
	if c.ended != nil {
		_ = s.SetReadDeadline(longAgo)
	}
	return &stream{conn: c, lib: s, traffic: t}
}

// letGo ends the reads that wait for what the remote cannot send any more. What has arrived can still be read.
func (c *conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil { // we have closed the connection, and go-yamux the streams
		return
	}
	for _, t := range c.streams {
		if t.lib != nil {
			_ = t.lib.SetReadDeadline(longAgo)
		}
	}
}

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
			s.conn.grant(s.traffic.id, more)
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
	return n, explainStream(err)
}

// ReadNow implements muxer.PromptStream. The connection's reader must not wait for its writer, as a read does that has something to say of a window, be it ours or
// go-yamux's.
func (s *stream) ReadNow(p []byte) int {
	c, t := s.conn, s.traffic
	c.mu.Lock()
	n := min(len(p), t.readable)
	ok := n > 0 && !t.reset && int(t.in.read)+n < int(t.in.size)/2
	if ok && len(t.passing) > 0 { // it is all that there is
		n = copy(p, t.passing)
		t.passing = t.passing[n:]
		c.consumed(t, n)
		t.unsaid -= n
		c.mu.Unlock()
		return n
	}
	ok = ok && t.unsaid+n < c.muxer.cfg.MaxWindow/2
	c.mu.Unlock()
	if !ok {
		return 0
	}
	n, _ = s.Read(p[:n]) // an error comes again
	return n
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.answer(p) {
		return len(p), nil
	}
	return s.write(p)
}

// write is a write by go-yamux. s.writing is held.
func (s *stream) write(p []byte) (int, error) {
	if err := s.confess(); err != nil {
		return 0, explainStream(err)
	}
	n, err := s.lib.Write(p)
	s.conn.out.queued.Add(int64(n))
	s.conn.mu.Lock()
	s.traffic.window -= int64(n)
	s.traffic.queued += int64(n)
	s.conn.mu.Unlock()
	return n, explainStream(err)
}

// WriteEnd implements muxer.EndWriter. The frame that closes our side is counted as queued before it is, so that a short p, for which the remote has room, waits for it.
func (s *stream) WriteEnd(p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.over.Swap(true) {
		return net.ErrClosed
	}
	s.conn.mu.Lock()
	together := len(p) <= shortAnswer && s.traffic.window >= int64(len(p))
	s.conn.mu.Unlock()
	if !together {
		_, err := s.write(p)
		if e := s.lib.CloseWrite(); err == nil {
			err = explainStream(e)
		}
		s.closed(err)
		return err
	}
	s.conn.out.queued.Add(1)
	_, err := s.write(p)
	if e := s.lib.CloseWrite(); err == nil {
		err = explainStream(e)
	}
	if err != nil || s.ended.Swap(true) { // it does not come, or was counted
		s.conn.out.queued.Add(-1)
		s.conn.out.tell()
	}
	return err
}

// WriteReady implements muxer.RawStream. It does not pass go-yamux, so Write must not be used on the same stream.
func (s *stream) WriteReady(p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.conn.writeReady(s.traffic, p)
}

// WriteNow implements muxer.PromptWriter. Like WriteReady, it does not pass go-yamux.
func (s *stream) WriteNow(head, body []byte) bool {
	if !s.writing.TryLock() {
		return false
	}
	defer s.writing.Unlock()
	s.conn.mu.Lock()
	s.traffic.pace(s.conn)
	s.conn.mu.Unlock()
	return s.conn.writeNow(s.traffic, head, body)
}

// Ready implements muxer.RawStream.
func (s *stream) Ready() muxer.Ready {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	t := s.traffic
	return muxer.Ready{Readable: t.readable, Ended: t.finIn || t.reset, Reset: t.reset, Writable: int(max(t.window, 0))}
}

// Watch implements muxer.RawStream.
func (s *stream) Watch(f func()) {
	s.conn.mu.Lock()
	s.traffic.watch = f
	s.conn.mu.Unlock()
}

// CloseWrite implements muxer.RawStream.
func (s *stream) CloseWrite() error {
	s.over.Store(true)
	err := s.lib.CloseWrite()
	s.closed(err)
	return explainStream(err)
}

// closed counts the frame that go-yamux queues at the first call that closes our side.
func (s *stream) closed(err error) {
	if err == nil && !s.ended.Swap(true) {
		s.conn.out.queued.Add(1)
	}
}

// Close implements net.Conn: it ends our writing side, and takes no more of what the remote sends.
func (s *stream) Close() error {
	s.over.Store(true)
	err := s.lib.Close()
	s.closed(err)
	s.conn.mu.Lock()
	s.conn.drop(s.traffic)
	s.conn.forget(s.traffic)
	s.conn.mu.Unlock()
	return explainStream(err)
}

// Reset implements muxer.RawStream. go-yamux sends no code.
func (s *stream) Reset(muxer.Code) error {
	s.over.Store(true)
	return explainStream(s.lib.Reset())
}

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
	by := int64(0)
	if !t.IsZero() {
		by = t.UnixNano()
	}
	s.writeBy.Store(by)
	return s.lib.SetWriteDeadline(t)
}

func (s *stream) LocalAddr() net.Addr  { return s.conn.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// explainStream makes go-yamux's errors those that callers of a net.Conn know.
func explainStream(err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.Is(err, lib.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, lib.ErrStreamReset):
		return errReset
	case errors.Is(err, lib.ErrStreamClosed), errors.Is(err, lib.ErrSessionShutdown):
		return net.ErrClosed
	}
	return err
}
