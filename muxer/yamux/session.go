package yamux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// goodbyeTime bounds how long a remote that takes nothing holds up the end of a connection.
const goodbyeTime = 250 * time.Millisecond

// session is one connection. It implements muxer.Streams.
type session struct {
	conn *conn
	lib  *lib.Session

	closed atomic.Bool
	hurry  chan struct{} // closed when nobody waits for the remote any more
	over   chan struct{} // closed when all is closed

	mu      sync.Mutex // guards what follows
	ping    *ping      // in flight, or nil
	pings   sync.WaitGroup
	ending  bool // CloseWith was called
	hurried bool
}

func newSession(c *conn, l *lib.Session) *session {
	s := &session{conn: c, lib: l, hurry: make(chan struct{}), over: make(chan struct{})}
	c.mu.Lock()
	c.session = s
	closed := c.closed
	c.mu.Unlock()
	if closed { // before there was a session to ask why
		c.fail(s.failed())
	}
	return s
}

// Open implements muxer.Streams. The remote learns of the stream with the first frame behind.
func (s *session) Open(ctx context.Context) (muxer.RawStream, error) {
	st, err := s.lib.OpenStream(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.explain(err)
	}
	return s.conn.stream(st), nil
}

// Accept implements muxer.Streams.
func (s *session) Accept(ctx context.Context) (muxer.RawStream, error) {
	for {
		pending, ended := s.conn.arrivals()
		switch {
		case s.closed.Load():
			return nil, muxer.ErrClosed
		case pending: // go-yamux has it, or will in a moment: it refuses none
			st, err := s.lib.AcceptStream()
			if err != nil {
				return nil, s.explain(err)
			}
			return s.conn.stream(st), nil
		case ended != nil:
			return nil, ended
		}
		select {
		case <-s.conn.news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Up implements muxer.Streams.
func (s *session) Up() {
	s.conn.mu.Lock()
	s.conn.up = true
	s.conn.mu.Unlock()
	signal(s.conn.room)
}

// Stats implements muxer.Streams.
func (s *session) Stats() muxer.Stats {
	c := s.conn
	return muxer.Stats{SentBytes: c.out.sent.Load(), ReceivedBytes: c.received.Load(),
		RTT: time.Duration(c.out.rtt.Load())}
}

// CloseWith implements muxer.Streams. Yamux carries the code, not the reason.
func (s *session) CloseWith(code muxer.Code, _ string, grace time.Duration) error {
	s.mu.Lock()
	first := !s.ending
	s.ending = true
	if grace <= 0 && !s.hurried {
		s.hurried = true
		close(s.hurry)
		s.conn.out.limit(goodbyeTime)
	}
	s.mu.Unlock()
	if !first {
		<-s.over
		return nil
	}
	if s.conn.why() == nil {
		s.goodbye(code, grace)
	}
	s.mu.Lock() // no ping begins behind this
	s.closed.Store(true)
	s.mu.Unlock()
	_ = s.lib.Close() // it closes the connection
	signal(s.conn.news)
	s.pings.Wait()
	s.conn.out.close()
	close(s.over)
	return nil
}

// goodbye tells the remote why the connection ends, and lets it read what was written.
func (s *session) goodbye(code muxer.Code, grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	s.conn.out.limit(max(grace, goodbyeTime)) // a remote that takes nothing holds us up no longer
	s.conn.out.put(typeGoAway, 0, 0, int(toWire(code)), nil)
	s.conn.out.drain()
	if grace <= 0 {
		return
	}
	select {
	case <-s.conn.over:
	case <-timer.C:
	case <-s.hurry:
	}
}

// explain returns why the connection ended, given the error that go-yamux has for it.
func (s *session) explain(err error) error {
	if why := s.conn.why(); why != nil {
		return why
	}
	var le *lib.Error
	switch {
	case s.closed.Load():
		return muxer.ErrClosed
	case errors.Is(err, lib.ErrKeepAliveTimeout):
		return &muxer.CloseError{
			Code: muxer.CodeIdle, Reason: "a keep-alive was not answered", Err: muxer.ErrPongTimeout,
		}
	case errors.Is(err, lib.ErrConnectionWriteTimeout):
		return &muxer.CloseError{Code: muxer.CodeTimeout, Reason: "the remote takes nothing", Err: err}
	case errors.Is(err, lib.ErrRemoteGoAway), errors.Is(err, lib.ErrSessionShutdown), errors.Is(err, io.EOF):
		return &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true, Err: err}
	case errors.As(err, &le):
		return &muxer.CloseError{Code: muxer.CodeProtocolError, Err: fmt.Errorf("yamux: %w", err)}
	}
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return connError(err)
	}
	// go-yamux's errors without a name are all about broken frames.
	return &muxer.CloseError{Code: muxer.CodeProtocolError, Err: fmt.Errorf("yamux: %w", err)}
}

// failed returns why go-yamux has ended the connection by itself.
func (s *session) failed() error {
	_, err := s.lib.OpenStream(context.Background()) // it does not wait: the session is over
	return s.explain(err)
}

// ping is one round trip that is being measured.
type ping struct {
	done chan struct{}
	rtt  time.Duration
	err  error
}

// Ping implements muxer.Streams. Calls while a ping is in flight share its answer.
func (s *session) Ping(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	p := s.ping
	if p == nil {
		if s.closed.Load() {
			s.mu.Unlock()
			return 0, muxer.ErrClosed
		}
		p = &ping{done: make(chan struct{})}
		s.ping = p
		s.pings.Go(func() { // it ends with the connection, or after two timeouts
			p.rtt, p.err = s.lib.Ping()
			s.mu.Lock()
			s.ping = nil
			s.mu.Unlock()
			close(p.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-p.done:
		if p.err != nil {
			return 0, s.explain(p.err)
		}
		return p.rtt, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
