package quic

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Conn is a QUIC connection, secured and muxed: the Conn and the Streams of a handshake.SecuredConn. Streams are
// quic-go's own: no goroutine and no copy is added, except that output of a lane has both while it waits (lane.go).
type Conn struct {
	quic   *lib.Conn
	socket *socket
	key    handshake.PublicKey

	local, remote atomic.Pointer[ma.Multiaddr] // made when first asked for

	backlog atomic.Int64   // of lanes that are not stalled
	room    chan struct{}  // it is shorter than backlogLimit
	wg      sync.WaitGroup // the goroutines of lanes, and interrupt
	over    chan struct{}  // closed when the end of quic is known
	release sync.Once

	mu     sync.Mutex            // guards what follows
	closed bool                  // no goroutine may begin
	ended  error                 // why the connection ended
	bye    *lib.ApplicationError // what the remote is told; nil: CloseWith was not called
	lanes  map[*lane]struct{}
}

var (
	_ transport.Conn = (*Conn)(nil)
	_ muxer.Streams  = (*Conn)(nil)
)

// newConn takes over the caller's hold of s.
func newConn(s *socket, q *lib.Conn, key handshake.PublicKey) *Conn {
	c := &Conn{quic: q, socket: s, key: key, room: make(chan struct{}, 1), over: make(chan struct{})}
	s.t.budget.add()
	context.AfterFunc(q.Context(), c.gone) // CloseWith waits for it
	return c
}

// secured returns the connection as its transport hands it out.
func (c *Conn) secured() *handshake.SecuredConn {
	return &handshake.SecuredConn{Conn: c, Streams: c, RemoteKey: c.key, Security: "tls", Muxer: "quic"}
}

// LocalMultiaddr returns our end. Where the socket has no IP, it is found out at the first call.
func (c *Conn) LocalMultiaddr() ma.Multiaddr {
	if m := c.local.Load(); m != nil {
		return *m
	}
	m := multiaddr(localAddr(c.quic.LocalAddr(), c.quic.RemoteAddr()))
	c.local.Store(&m)
	return m
}

// RemoteMultiaddr returns the remote's end, as it was when the connection began.
func (c *Conn) RemoteMultiaddr() ma.Multiaddr {
	if m := c.remote.Load(); m != nil {
		return *m
	}
	m := multiaddr(c.quic.RemoteAddr())
	c.remote.Store(&m)
	return m
}

// RemoteIP returns the remote's IP address, IPv4-mapped ones as IPv4. It does not allocate.
func (c *Conn) RemoteIP() netip.Addr { return remoteIP(c.quic.RemoteAddr()) }

// Open implements muxer.Streams.
func (c *Conn) Open(ctx context.Context) (muxer.RawStream, error) {
	s, err := c.quic.OpenStreamSync(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explain(err)
	}
	return &stream{conn: c, quic: s}, nil
}

// Accept implements muxer.Streams. QUIC drops with a connection what was not accepted or read; a remote of our kind
// ends it when we have read all (goodbye).
func (c *Conn) Accept(ctx context.Context) (muxer.RawStream, error) {
	s, err := c.quic.AcceptStream(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explain(err)
	}
	return &stream{conn: c, quic: s}, nil
}

// Up implements muxer.Streams. From now on windows grow.
func (c *Conn) Up() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.socket.t.budget.up(c.quic)
	}
}

// Ping implements muxer.Streams. QUIC measures round trips with every packet that asks for an answer: keep-alives on an
// idle connection. This is the smoothed value, and takes no time; a remote that is gone shows by the idle timeout.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := c.why(); err != nil {
		return 0, err
	}
	return max(c.quic.ConnectionStats().SmoothedRTT, time.Microsecond), nil
}

// Stats implements muxer.Streams. Bytes are UDP payloads.
func (c *Conn) Stats() muxer.Stats {
	stats := c.quic.ConnectionStats()
	return muxer.Stats{SentBytes: stats.BytesSent, ReceivedBytes: stats.BytesReceived, RTT: stats.SmoothedRTT}
}

// why returns the reason for which the connection ended, nil while it is up.
func (c *Conn) why() error {
	c.mu.Lock()
	err := c.ended
	c.mu.Unlock()
	if err == nil && c.quic.Context().Err() != nil { // gone is on its way
		err = explain(context.Cause(c.quic.Context()))
	}
	return err
}

// gone is called when quic-go has ended the connection, for whatever reason.
func (c *Conn) gone() {
	defer close(c.over)
	c.mu.Lock()
	c.ended = explain(context.Cause(c.quic.Context()))
	c.mu.Unlock()
	c.socket.t.budget.give(c.quic)
	for _, l := range c.allLanes() {
		l.notify()
	}
}

// CloseWith implements muxer.Streams.
func (c *Conn) CloseWith(code muxer.Code, reason string, grace time.Duration) error {
	c.mu.Lock()
	first := c.bye == nil
	if first {
		c.bye = &lib.ApplicationError{ErrorCode: lib.ApplicationErrorCode(toWire(code)), ErrorMessage: clip(reason)}
	}
	bye := c.bye
	c.mu.Unlock()
	if first && grace > 0 {
		c.goodbye(time.Now().Add(grace))
	}
	if first || grace <= 0 {
		_ = c.quic.CloseWithError(bye.ErrorCode, bye.ErrorMessage)
	}
	<-c.over
	c.release.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.wg.Wait()
		c.socket.release()
	})
	return nil
}

// Close implements transport.Conn: it ends the connection at once.
func (c *Conn) Close() error { return c.CloseWith(muxer.CodeUnknown, "", 0) }

// goodbye ends our side of the lanes that were written, and waits for the remote to end its. QUIC drops with a
// connection what was not read; a session that has read a lane to its end closes it.
func (c *Conn) goodbye(until time.Time) {
	var waits []*lane
	for _, l := range c.allLanes() {
		l.mu.Lock()
		used := l.used
		l.mu.Unlock()
		if used {
			l.finish()
			waits = append(waits, l)
		}
	}
	for _, l := range waits {
		var rest [64]byte
		_ = l.s.quic.SetReadDeadline(until)
		for {
			if _, err := l.s.quic.Read(rest[:]); err != nil {
				break
			}
		}
	}
}

// interrupt ends the connection without waiting for anything.
func (c *Conn) interrupt() {
	c.spawn(func() {
		_ = c.quic.CloseWithError(lib.ApplicationErrorCode(toWire(muxer.CodeTooManyStarts)), lostTicket)
	})
}

// spawn runs f on a goroutine of the connection; false: the connection has ended.
func (c *Conn) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ended != nil {
		return false
	}
	c.wg.Go(f)
	return true
}

// addLane notes a lane. A session has one for each of its channels.
func (c *Conn) addLane(l *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lanes == nil {
		c.lanes = make(map[*lane]struct{})
	}
	c.lanes[l] = struct{}{}
}

func (c *Conn) allLanes() []*lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*lane, 0, len(c.lanes))
	for l := range c.lanes {
		all = append(all, l)
	}
	return all
}

// count counts n bytes more of lanes in the backlog.
func (c *Conn) count(n int) {
	if all := int(c.backlog.Add(int64(n))); all < backlogLimit && all-n >= backlogLimit {
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}

// awaitRoom waits while the backlog is long. One goroutine at a time calls it.
func (c *Conn) awaitRoom() {
	for c.backlog.Load() >= backlogLimit {
		select {
		case <-c.room:
		case <-c.over:
			return
		}
	}
}
