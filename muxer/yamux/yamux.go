// Package yamux is the muxer of libp2p's TCP connections: byte streams over one encrypted connection (yamux, /yamux/1.0.0). It is
// github.com/libp2p/go-yamux with what a node needs around it: a view of every stream's windows, so that one goroutine can serve many streams without
// waiting for any; receive windows of its own, as go-yamux loses a part of those that grow (window.go); writers of a stream that take turns (two at once overrun
// the remote's window in go-yamux 4.0.2); what came before the end of the connection stays readable; and the end carries its reason.
//
// It sees the frames that go-yamux reads and writes, and those that go-yamux need not see (straight.go, answer.go): each Write to the connection is one frame, and each frame is read as a header of
// 12 bytes and its body (conn.go).
//
// Facts: github.com/libp2p/go-yamux/v4, spec.md.
package yamux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Protocol is the name of yamux in libp2p.
const Protocol = "/yamux/1.0.0"

// initialWindow is what each direction of a stream begins with. The protocol fixes it.
const initialWindow = 256 << 10

// Defaults of Config's zero fields.
const (
	DefaultMaxWindow      = 16 << 20
	DefaultMaxStreams     = 1024
	DefaultMaxUnread      = 128 << 20
	DefaultPingInterval   = 30 * time.Second
	DefaultTimeout        = 45 * time.Second
	DefaultMaxFrame       = 64 << 10
	acceptBacklog         = 128 // streams that we may have opened and the remote not accepted, and the other way round; each costs 8 B of every connection
	smallestMaxFrame      = 1 << 10
	largestMaxWindow      = 1 << 30
	largestMaxStreams     = 1 << 20
	largestMaxUnread      = 1 << 40
	smallestPingInterval  = time.Millisecond
	pongsThatMayBeWaiting = 32
)

// Config are the settings of a connection. The zero value of every field means its default.
type Config struct {
	// MaxWindow is how far a stream's receive window may grow, in bytes; it begins with 256 KiB and grows with the delay-bandwidth product.
	MaxWindow int
	// MaxStreams is how many streams the remote may have open at once; more are reset.
	MaxStreams int
	// MaxUnread is how many bytes that nobody has read yet all connections of this Muxer may hold together. Yamux has no window for a whole connection: with
	// MaxStreams streams of 256 KiB and more, each remote could make us hold hundreds of MiB. Beyond it, a connection that has more to bring and holds more than
	// 1 MiB ends.
	MaxUnread int
	// PingInterval is the time between our pings on a connection on which nothing arrives, or nothing but short messages (straight.go).
	PingInterval time.Duration
	// Timeout ends the connection when a ping is not answered, or the connection takes no byte, for this long. go-yamux's own 10 s have dropped
	// links that were only slow.
	Timeout time.Duration
	// MaxFrame is how many bytes of a stream we send in one frame at most: other streams wait for no more than that.
	MaxFrame int
	// Logger is told at level debug what go-yamux complains of; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MaxWindow, DefaultMaxWindow)
	set(&c.MaxStreams, DefaultMaxStreams)
	set(&c.MaxUnread, DefaultMaxUnread)
	set(&c.MaxFrame, DefaultMaxFrame)
	if c.PingInterval == 0 {
		c.PingInterval = DefaultPingInterval
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return c
}

// Validate says which setting is impossible, if any.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, f := range []struct {
		name         string
		v, low, high int
	}{
		{"MaxWindow", c.MaxWindow, initialWindow, largestMaxWindow},
		{"MaxStreams", c.MaxStreams, 1, largestMaxStreams},
		{"MaxUnread", c.MaxUnread, unreadOfOne, largestMaxUnread},
		{"MaxFrame", c.MaxFrame, smallestMaxFrame, initialWindow},
	} {
		if f.v < f.low || f.v > f.high {
			return fmt.Errorf("yamux: %s is %d, not in %d to %d", f.name, f.v, f.low, f.high)
		}
	}
	if c.PingInterval < smallestPingInterval || c.Timeout < smallestPingInterval {
		return fmt.Errorf("yamux: PingInterval is %v and Timeout %v; both must be at least %v", c.PingInterval, c.Timeout, smallestPingInterval)
	}
	return nil
}

// Muxer makes connections. It implements muxer.StreamMuxer.
type Muxer struct {
	cfg    Config
	lib    *lib.Config  // which go-yamux does not change
	unread atomic.Int64 // of all connections
}

var _ muxer.StreamMuxer = (*Muxer)(nil)

// New checks cfg.
func New(cfg Config) (*Muxer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Muxer{cfg: cfg.withDefaults()}
	m.lib = m.libConfig()
	return m, nil
}

// libConfig is go-yamux's configuration.
func (m *Muxer) libConfig() *lib.Config {
	cfg := lib.DefaultConfig()
	cfg.AcceptBacklog = acceptBacklog
	cfg.PingBacklog = pongsThatMayBeWaiting
	cfg.KeepAliveInterval, cfg.MeasureRTTInterval = m.cfg.PingInterval, m.cfg.PingInterval
	cfg.ConnectionWriteTimeout = m.cfg.Timeout
	cfg.MaxIncomingStreams = uint32(m.cfg.MaxStreams)
	cfg.InitialStreamWindowSize = 2 * uint32(m.cfg.MaxWindow) // see window.go
	cfg.MaxStreamWindowSize = cfg.InitialStreamWindowSize
	cfg.MaxMessageSize = uint32(m.cfg.MaxFrame + headerSize)
	cfg.ReadBufSize = 0 // conn buffers
	cfg.LogOutput = io.Discard
	if m.cfg.Logger != nil {
		cfg.LogOutput = logWriter{m.cfg.Logger}
	}
	return cfg
}

// Name implements muxer.StreamMuxer.
func (*Muxer) Name() string { return "yamux" }

// Protocol implements muxer.StreamMuxer.
func (*Muxer) Protocol() string { return Protocol }

// New implements muxer.StreamMuxer.
func (m *Muxer) New(nc net.Conn, side muxer.Side) (muxer.Streams, error) {
	c := newConn(nc, m)
	open := lib.Server
	if side == muxer.Dialer {
		open = lib.Client
	}
	s, err := open(c, m.lib, nil)
	if err != nil {
		return nil, fmt.Errorf("yamux: %w", err)
	}
	return newStreams(c, s), nil
}

// logWriter passes go-yamux's complaints on.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug("yamux", slog.String("message", strings.TrimSpace(string(p))))
	return len(p), nil
}

// streams is one connection. It implements muxer.Streams.
type streams struct {
	conn *conn
	lib  *lib.Session

	pings sync.Mutex // guards ping
	ping  *ping
	wg    sync.WaitGroup // the goroutines of the ping in flight and of acceptAll

	last   *traffic // of the stream that Accept returned last; its caller's goroutine owns it
	closed atomic.Bool

	accepts   sync.Mutex // guards what follows
	announce  func(muxer.RawStream)
	accepting bool // acceptAll runs
}

var (
	_ muxer.Announcer = (*streams)(nil)
	_ muxer.Measurer  = (*streams)(nil)
	_ muxer.Patient   = (*streams)(nil)
)

func newStreams(c *conn, session *lib.Session) *streams {
	s := &streams{conn: c, lib: session}
	c.begin(s)
	return s
}

func (s *streams) Watch(w muxer.Watcher) { s.conn.watch(w) }

// Announce implements muxer.Announcer.
func (s *streams) Announce(f func(muxer.RawStream)) {
	s.accepts.Lock()
	s.announce = f
	s.accepts.Unlock()
	if s.Pending() {
		s.arrived()
	}
}

// arrived is called when the remote has begun a stream.
func (s *streams) arrived() {
	s.accepts.Lock()
	defer s.accepts.Unlock()
	if s.announce != nil && !s.accepting && !s.closed.Load() {
		s.accepting = true
		s.wg.Go(s.acceptAll)
	}
}

// announces says that nobody has to call Accept.
func (s *streams) announces() bool {
	s.accepts.Lock()
	defer s.accepts.Unlock()
	return s.announce != nil
}

// acceptAll announces what has arrived. go-yamux may have refused a stream that we count as pending: then it waits for the next one.
func (s *streams) acceptAll() {
	for {
		s.accepts.Lock()
		if s.accepting = s.Pending(); !s.accepting {
			s.accepts.Unlock()
			return
		}
		s.accepts.Unlock()
		st, err := s.lib.AcceptStream()
		if err != nil {
			return
		}
		raw := s.conn.stream(st)
		s.announce(raw)
		s.conn.accepted(raw.traffic)
	}
}

func (s *streams) Open(ctx context.Context) (muxer.RawStream, error) {
	st, err := s.lib.OpenStream(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.explain(err)
	}
	s.conn.out.queued.Add(1)
	return s.conn.stream(st), nil
}

func (s *streams) Accept() (muxer.RawStream, error) {
	s.conn.accepted(s.last)
	s.last = nil
	st, err := s.lib.AcceptStream()
	if err != nil {
		return nil, s.explain(err)
	}
	raw := s.conn.stream(st)
	s.last = raw.traffic
	return raw, nil
}

// Backlog implements muxer.Streams: what WriteReady takes is written when it returns.
func (s *streams) Backlog() int { return 0 }

func (s *streams) Pending() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.pending > 0
}

func (s *streams) Bytes() (sent, received uint64) {
	return s.conn.out.sent.Load(), s.conn.received.Load()
}

// RTT implements muxer.Measurer, by go-yamux's pings.
func (s *streams) RTT() time.Duration {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.rtt
}

// Patience implements muxer.Patient.
func (s *streams) Patience(d time.Duration) { s.conn.out.patient.Store(int64(d)) }

func (s *streams) Goodbye(code muxer.Code, _ string, within time.Duration) {
	s.conn.goAway(code, within)
}

func (s *streams) Close() error {
	s.pings.Lock() // nothing begins behind this
	s.accepts.Lock()
	s.closed.Store(true)
	s.accepts.Unlock()
	s.pings.Unlock()
	_ = s.lib.Close() // it closes the connection; whether that complains does not matter any more
	s.wg.Wait()
	s.conn.out.end()
	return nil
}

// explain says why the connection ended, given the error that go-yamux has for it.
func (s *streams) explain(err error) error {
	if why := s.conn.why(); why != nil {
		return why
	}
	var le *lib.Error
	switch {
	case s.closed.Load():
		return muxer.ErrClosed
	case errors.Is(err, lib.ErrKeepAliveTimeout):
		return &muxer.CloseError{Code: muxer.CodeIdle, Reason: "a keep-alive was not answered", Err: muxer.ErrPongTimeout}
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
	return &muxer.CloseError{Code: muxer.CodeProtocolError, Err: fmt.Errorf("yamux: %w", err)} // its unnamed errors are all about broken frames
}

// failed says why go-yamux has ended the connection by itself.
func (s *streams) failed() error {
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
func (s *streams) Ping(ctx context.Context) (time.Duration, error) {
	s.pings.Lock()
	p := s.ping
	if p == nil {
		if s.closed.Load() {
			s.pings.Unlock()
			return 0, muxer.ErrClosed
		}
		p = &ping{done: make(chan struct{})}
		s.ping = p
		s.wg.Go(func() { // it ends with the connection, or after two timeouts
			p.rtt, p.err = s.lib.Ping()
			s.pings.Lock()
			s.ping = nil
			s.pings.Unlock()
			close(p.done)
		})
	}
	s.pings.Unlock()
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
