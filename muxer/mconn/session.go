// Package mconn is the muxer that speaks CometBFT's MConnection wire: messages of many channels, cut into packets, and
// keep-alives, over one encrypted connection.
//
// A session has two goroutines. The reader is the one that calls Run: it parses packets out of whatever the connection
// has received and hands all messages that are whole to the handler in one call. The writer sleeps until something is
// queued, then takes a batch from the lanes, fairly by their priorities, and flushes when no more is queued: a small
// message on an idle link leaves at once, and a busy link batches by itself. There is no flush timer.
package mconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Session is one MConnection. It implements muxer.Session.
type Session struct {
	muxer.Sender // sends on the channels

	conn  Conn
	side  muxer.Side
	cfg   Config
	epoch time.Time          // what the times below are measured from
	ctx   context.Context    // ends with the session; what Deliver and the rate limits wait on
	stop  context.CancelFunc // ends ctx

	partial muxer.Partial // memory of unfinished messages
	largest int           // the largest MaxMessage of the channels
	read    reader        // the reader's own

	mu       sync.Mutex // guards what follows
	queues   *muxer.SendQueues
	outbound []outbound // the channels, by their numbers
	fair     *muxer.Fair
	wake     sync.Cond // the writer waits on it: something is due, or the session ends
	parked   bool      // the writer waits
	running  bool      // Run was called
	ended    bool      // the connection is closed, or about to be
	err      error     // why the session ends; Send fails with it
	lost     bool      // err says that the connection took no more
	ping     bool      // a ping is due
	pong     bool      // a pong is due
	probe    *probe    // the ping in flight, or due
	grace    *time.Timer
	drain    drain

	alive keepalive

	sendLimit, receiveLimit *rate.Limiter // nil: no limit

	sentBytes, receivedBytes       atomic.Uint64
	sentMessages, receivedMessages atomic.Uint64
	rtt                            atomic.Int64
}

var _ muxer.Session = (*Session)(nil)

// New makes a session of conn, which it owns from then on, except when New fails. It starts nothing: Run does.
func New(conn Conn, side muxer.Side, channels []muxer.Channel, cfg Config) (*Session, error) {
	s := &Session{conn: conn, side: side, epoch: time.Now()}
	queues, err := muxer.NewSendQueues(&s.mu, channels, func(i int) {
		s.fair.Add(i)
		s.wake.Signal()
	})
	if err != nil {
		return nil, fmt.Errorf("mconn: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	weights := make([]int, len(channels))
	for i, c := range channels {
		weights[i] = c.WithDefaults().Priority
		s.largest = max(s.largest, c.WithDefaults().MaxMessage)
	}
	s.cfg = cfg.withDefaults(s.largest)
	s.queues, s.Sender = queues, queues.Sender()
	s.outbound, s.read.inbound = make([]outbound, len(channels)), make([]inbound, len(channels))
	for i, c := range channels {
		s.read.inbound[i] = inbound{id: c.ID, max: c.WithDefaults().MaxMessage, received: queues.Received(i)}
		s.outbound[i] = outbound{id: c.ID, queue: queues.Queue(i), payload: s.cfg.MaxPacketPayload}
		if c.ID >= 0x80 {
			// A CometBFT node takes no packet that is longer than its own largest one on channel 1, so the longer id
			// costs a byte of payload.
			s.outbound[i].payload--
		}
	}
	s.partial.Limit, s.partial.Shared = s.cfg.MaxPartial, s.cfg.Shared
	s.fair = muxer.NewFair(weights)
	s.wake.L = &s.mu
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.sendLimit, s.receiveLimit = limiter(cfg.SendRate), limiter(cfg.ReceiveRate)
	return s, nil
}

// limiter allows a burst of 50 ms' worth, so that a limited link still waits in short steps.
func limiter(bytesPerSecond int) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), max(bytesPerSecond/20, 2048))
}

// Run implements muxer.Session. What is not reading is in functions of its own: a goroutine that rests in a read here
// keeps 4 kB of stack, and 8 kB if its frames are more than 1,248 bytes together (the garbage collector halves a stack
// of which less than a quarter is used).
func (s *Session) Run(ctx context.Context, h muxer.Handler) error {
	finish, err := s.launch(ctx, h)
	if err != nil {
		return err
	}
	s.fail(s.readLoop(h))
	return finish()
}

// launch starts what goes on beside reading; finish waits for it, and returns why the session ended.
func (s *Session) launch(ctx context.Context, h muxer.Handler) (finish func() error, err error) {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return nil, errors.New("mconn: Run was called twice")
	}
	s.running = true
	err = s.err
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.writeLoop()
	}()
	cancelled := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		s.close(&muxer.CloseError{Code: muxer.CodeShuttingDown, Reason: "context ended",
			Err: fmt.Errorf("%w: %w", muxer.ErrClosed, context.Cause(ctx))})
	})
	s.alive.start(s)
	return func() error {
		<-written
		if !unhook() {
			<-cancelled
		}
		s.partial.Release(s.partial.Used())
		s.alive.stop()
		s.mu.Lock()
		if s.grace != nil {
			s.grace.Stop()
		}
		if s.drain.timer != nil {
			s.drain.timer.Stop()
		}
		err := s.err
		s.mu.Unlock()
		s.cfg.Logger.Debug("mconn: session ended", "cause", err)
		return err
	}, nil
}

// OpenStream implements muxer.Session: the wire has no streams.
func (s *Session) OpenStream(context.Context, ...string) (muxer.Stream, error) {
	return nil, muxer.ErrNoStreams
}

// Close implements muxer.Session. It does not wait: Run returns when the session has ended. What was queued before Run
// was called is not sent by a Close before Run.
func (s *Session) Close(code muxer.Code, reason string) error {
	s.close(&muxer.CloseError{Code: code, Reason: reason, Err: muxer.ErrClosed})
	return nil
}

// close ends the session from our side. The writer first sends what is queued, for at most a short grace, if the end is
// an orderly one.
func (s *Session) close(why *muxer.CloseError) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	if why.Code == muxer.CodeMoved && s.running {
		s.startDrain()
		s.mu.Unlock()
		return
	}
	s.abandon(why)
	flush := s.running && why.Code.Orderly() && !(s.parked && s.fair.Idle())
	if flush {
		s.grace = time.AfterFunc(s.cfg.CloseGrace, s.shut)
	}
	s.mu.Unlock()
	s.stop()
	if !flush {
		s.shut()
	}
}

// fail ends the session at once, for err.
func (s *Session) fail(err error) {
	s.mu.Lock()
	switch {
	case s.err == nil:
		s.abandon(err)
	case s.lost && err == io.EOF: // that is why we could not write
		s.err = err
	}
	s.mu.Unlock()
	s.shut()
}

// failWrite ends the sending half for err. The reader goes on for a moment: a remote that has hung up may have said
// something before.
func (s *Session) failWrite(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if s.err == nil {
		s.lost = true
		s.abandon(err)
	}
	if s.grace == nil {
		s.grace = time.AfterFunc(s.cfg.CloseGrace, s.shut)
	}
}

// abandon records why the session ends and lets nobody wait any longer. The mutex is held.
func (s *Session) abandon(err error) {
	s.err = err
	s.queues.Close(err)
	if s.probe != nil {
		s.probe.end(0, err)
		s.probe = nil
	}
}

// shut closes the connection, which ends the reader and the writer.
func (s *Session) shut() {
	s.mu.Lock()
	first := !s.ended
	if first {
		s.ended = true
		s.queues.Clear()
		for i := range s.outbound {
			s.fair.Remove(i)
		}
		s.wake.Signal()
	}
	s.mu.Unlock()
	if first {
		s.stop()
		s.conn.Close()
	}
}

// transportError explains how the connection failed underneath us.
func transportError(err error) error {
	for _, hungUp := range []error{io.EOF, io.ErrClosedPipe, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, hungUp) {
			return &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true, Err: err}
		}
	}
	return &muxer.CloseError{Code: muxer.CodeTransport, Err: err}
}

// Stats implements muxer.Session.
func (s *Session) Stats() muxer.Stats {
	return muxer.Stats{
		SentBytes:        s.sentBytes.Load(),
		ReceivedBytes:    s.receivedBytes.Load(),
		SentMessages:     s.sentMessages.Load(),
		ReceivedMessages: s.receivedMessages.Load(),
		Dropped:          s.queues.Dropped(),
		RTT:              time.Duration(s.rtt.Load()),
	}
}

// PartialBytes is how much memory the remote's unfinished messages hold. It is at most Config.MaxPartial.
func (s *Session) PartialBytes() int { return s.partial.Used() }

// now is a moment on the session's own clock; never 0.
func (s *Session) now() int64 { return int64(time.Since(s.epoch)) + 1 }
