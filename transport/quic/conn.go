package quic

import (
	"context"
	"io"
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

// Conn is a QUIC connection, secured and muxed. It is the Conn and the Streams of a handshake.SecuredConn.
//
// Streams are quic-go's own: no goroutine and no copy is added. Only those that are written by WriteReady (a session's
// lanes) get a goroutine, while there is output. Close waits for all of them.
type Conn struct {
	quic   *lib.Conn
	socket *socket
	key    handshake.PublicKey

	local, remote atomic.Pointer[ma.Multiaddr] // made when first asked for

	backlog atomic.Int64
	room    chan struct{}  // gets a value when the backlog has become shorter
	wg      sync.WaitGroup // all goroutines
	over    chan struct{}  // closed when the end of quic is known to all
	once    sync.Once

	mu        sync.Mutex // guards what follows
	closed    bool       // no goroutine may begin
	leaving   bool       // CloseWith was called
	bye       muxer.Code // what the remote is told
	byeReason string
	ended     error // why the connection ended; what has arrived before can still be read
	lanes     map[*stream]struct{}
	stalls    *time.Timer
	stalled   bool // stalls runs
}

var (
	_ transport.Conn = (*Conn)(nil)
	_ muxer.Streams  = (*Conn)(nil)
)

// newConn takes over the caller's hold of s.
func newConn(s *socket, q *lib.Conn, key handshake.PublicKey) *Conn {
	c := &Conn{quic: q, socket: s, key: key, room: make(chan struct{}, 1), over: make(chan struct{})}
	context.AfterFunc(q.Context(), c.gone) // Close waits for it
	return c
}

// secured is the connection as its transport hands it out.
func (c *Conn) secured() *handshake.SecuredConn {
	return &handshake.SecuredConn{Conn: c, Streams: c, RemoteKey: c.key, Security: "tls", Muxer: "quic"}
}

// LocalMultiaddr is our end. For a connection that was dialed from a socket without an IP it is found out when first asked for.
func (c *Conn) LocalMultiaddr() ma.Multiaddr {
	if m := c.local.Load(); m != nil {
		return *m
	}
	m := multiaddr(localAddr(c.quic.LocalAddr(), c.quic.RemoteAddr()))
	c.local.Store(&m)
	return m
}

// RemoteMultiaddr is the remote's end, as it was when the connection began.
func (c *Conn) RemoteMultiaddr() ma.Multiaddr {
	if m := c.remote.Load(); m != nil {
		return *m
	}
	m := multiaddr(c.quic.RemoteAddr())
	c.remote.Store(&m)
	return m
}

// RemoteIP is the remote's IP address, IPv4-mapped ones as IPv4. It does not allocate.
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

// Accept implements muxer.Streams.
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

// Ping implements muxer.Streams. QUIC measures round trips all the time, with every packet that asks for an answer: keep-alives on an idle
// connection. This is the smoothed value, and takes no time; a remote that is gone shows by the idle timeout.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := c.why(); err != nil {
		return 0, err
	}
	stats := c.quic.ConnectionStats()
	return max(stats.SmoothedRTT, time.Microsecond), nil
}

// Stats implements muxer.Streams: bytes are the UDP payloads of the connection.
func (c *Conn) Stats() muxer.Stats {
	stats := c.quic.ConnectionStats()
	return muxer.Stats{SentBytes: stats.BytesSent, ReceivedBytes: stats.BytesReceived, RTT: stats.SmoothedRTT}
}

// why is the reason for which the connection ended, nil while it is up.
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
	why := explain(context.Cause(c.quic.Context()))
	c.mu.Lock()
	c.ended = why
	lanes := make([]*stream, 0, len(c.lanes))
	for s := range c.lanes {
		lanes = append(lanes, s)
	}
	c.mu.Unlock()
	for _, s := range lanes {
		s.out.Load().cut()
	}
}

// CloseWith implements muxer.Streams. The end of a QUIC connection throws away what the remote has not read. So within the
// grace the lanes are ended first; a remote that has read a lane to its end ends its side too, as package lanes does.
func (c *Conn) CloseWith(code muxer.Code, reason string, grace time.Duration) error {
	c.mu.Lock()
	if !c.leaving {
		c.leaving, c.bye, c.byeReason = true, code, reason
	}
	c.mu.Unlock()
	if grace > 0 {
		c.finishLanes(time.Now().Add(grace))
	}
	return c.Close()
}

// hangUp ends the connection with what CloseWith was told first.
func (c *Conn) hangUp() {
	c.mu.Lock()
	code, reason := c.bye, c.byeReason
	c.mu.Unlock()
	_ = c.quic.CloseWithError(lib.ApplicationErrorCode(toWire(code)), clip(reason))
}

// finishLanes ends our side of the lanes, and waits for the remote to end its.
func (c *Conn) finishLanes(until time.Time) {
	c.mu.Lock()
	lanes := make([]*stream, 0, len(c.lanes))
	for s := range c.lanes {
		lanes = append(lanes, s)
	}
	c.mu.Unlock()
	for _, s := range lanes {
		s.out.Load().finish()
		_ = s.SetReadDeadline(until)
	}
	for _, s := range lanes {
		_, _ = io.Copy(io.Discard, s.quic)
	}
}

// interrupt ends the connection without waiting for anything.
func (c *Conn) interrupt() {
	c.spawn(&c.wg, func() {
		_ = c.quic.CloseWithError(lib.ApplicationErrorCode(toWire(muxer.CodeTooManyStarts)), lostTicket)
	})
}

// spawn runs f on a goroutine of the connection; false: the connection is closed.
func (c *Conn) spawn(wg *sync.WaitGroup, f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ended != nil {
		return false
	}
	wg.Go(f)
	return true
}

// Close implements transport.Conn: it ends the connection at once, with all streams, waits for their goroutines, and lets go of the socket.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.hangUp()
		<-c.over
		c.mu.Lock()
		c.closed = true
		if c.stalls != nil && c.stalls.Stop() {
			c.wg.Done()
		}
		c.mu.Unlock()
		c.wg.Wait()
		c.socket.release()
	})
	return nil
}

// drained lets WriteReady look at the backlog again.
func (c *Conn) drained() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// awaitRoom waits while much output waits.
func (c *Conn) awaitRoom() error {
	for c.backlog.Load() >= backlogLimit {
		select {
		case <-c.room:
		case <-c.quic.Context().Done():
			return c.why()
		}
	}
	return nil
}
