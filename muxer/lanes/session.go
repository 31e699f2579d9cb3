// Package lanes makes a session of a connection that carries byte streams (muxer.Streams).
//
// A channel is one long-lived stream in each direction, opened at the first message. Its protocol is the channel's
// name, and each message has its length ahead as a uvarint. All other streams are those of the wire itself, such as
// identify and ping, and those of applications.
//
// Goroutines:
//   - Run's accepts streams. Before Run is called, one of the session's own does, for the handshake.
//   - Each stream of the remote has one. It agrees on the protocol, and then reads the stream's channel, or serves the
//     stream. Reads are plain blocking ones: a service that does not take a channel's messages holds up that channel's
//     stream, and the remote's window does the rest.
//   - The writer lives from the first message to the end. It takes messages of all channels, fairly by their
//     priorities, and never waits for one stream: a channel whose window is full is left out until the window grows.
//
// Some nodes send a channel's messages one a stream; single.go is about these.
package lanes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Defaults of Config's zero fields.
const (
	DefaultCloseGrace  = time.Second
	DefaultNegotiation = 10 * time.Second
	// partialReserve is by how much the default MaxPartial is larger than the largest message.
	partialReserve = 32 << 20
)

// Config are the settings of a session. The zero value of every field means its default.
type Config struct {
	// Serve, if set, finds what serves the streams of a protocol of the wire itself, from the beginning: identify,
	// ping; nil for others. It must not block. What it returns is called on a goroutine of its own, and must return
	// soon after ctx, which ends with the session; the stream is closed behind it. The stream's read deadline is that
	// of the negotiation. Our answer to the remote's proposal goes out with the first Write, or before a Read would
	// wait.
	Serve func(protocol string) func(ctx context.Context, s muxer.Stream)
	// Proposed, if set, is called with each protocol that the remote proposes, before it is looked for. It must not
	// block, and is called concurrently.
	Proposed func(protocol string)
	// Single, if set, is the protocol of streams that carry one message of a channel each (single.go); "" for none.
	// They are taken beside those of the channel's own name.
	Single func(muxer.Channel) string
	// CloseGrace is how long an orderly Close goes on sending what is queued.
	CloseGrace time.Duration
	// Negotiation is how long the remote may take to name the protocol of a stream.
	Negotiation time.Duration
	// MaxPartial is how much memory the remote's unfinished messages may hold, in all channels together; 0 means 32 MiB
	// more than the largest MaxMessage.
	MaxPartial int
	// Shared, if set, bounds that memory over many sessions.
	Shared *muxer.SharedPartial
	Logger *slog.Logger // nil discards
}

// Session is a session over streams. It implements muxer.Session.
type Session struct {
	// Sender sends on the channels. Its methods return an ErrUnknownChannel also for one that the remote refuses.
	muxer.Sender

	streams muxer.Streams
	cfg     Config

	ctx  context.Context // Deliver waits on it; ends with Close
	stop context.CancelFunc
	life context.Context // ends with the connection
	end  context.CancelFunc

	handOver context.CancelFunc // ends the goroutine that accepts until Run does
	handed   chan struct{}      // closed when it has returned
	started  chan struct{}      // closed when Run begins, or the session ends before
	over     chan struct{}      // closed when the remote sends no more
	flushed  chan struct{}      // closed when nothing is queued, after Close

	partial muxer.Partial  // memory of unfinished messages
	reading sync.WaitGroup // goroutines that read what the remote has sent
	wg      sync.WaitGroup // all goroutines

	accepted  bool // before Run: the remote has accepted the link
	establish sync.Once
	handler   muxer.Handler // set before started is closed

	mu      sync.Mutex // guards what follows, and the lanes
	lanes   []lane
	queues  *muxer.SendQueues
	fair    *muxer.Fair // lanes that the writer can write
	writer  bool        // the writer was started
	work    sync.Cond   // the writer waits on it: a lane can be written, or nothing is written any more
	writing bool        // the writer does not wait
	singles singles
	set     bool // SetChannels was called
	running bool // Run was called
	naming  int  // streams of the remote whose protocol is not agreed on

	handlers map[*stream]struct{} // the streams that the handler serves
	handled  chan struct{}        // after the end: closed when there are none any more

	cut   bool  // the connection ended inside a message
	err   error // why the session ends
	input error // why the remote sends no more
	shut  bool  // nothing is written any more

	sentMessages, receivedMessages atomic.Uint64
	lost                           atomic.Uint64 // messages of ours that the remote did not take
}

var _ muxer.Session = (*Session)(nil)

// lane is one channel. The session's mutex guards it, except where a field says otherwise.
type lane struct {
	muxer.Channel
	queue  *muxer.SendQueue
	single string // the protocol of streams that carry one message each, or ""
	singly bool   // we send that way

	out     muxer.RawStream // the writer's
	begun   bool            // the length of the first message is written; the writer's
	refused bool            // the remote does not take our stream

	in         bool // the remote has a stream open
	received   *muxer.Received
	delivering sync.Mutex // held in Deliver, so that calls are serial
}

// New makes a session of streams, which it owns from then on. OpenStream and the streams of cfg.Serve work at once.
// SetChannels must be called before Run, and Close and Run in any case.
func New(streams muxer.Streams, cfg Config) *Session {
	if cfg.CloseGrace == 0 {
		cfg.CloseGrace = DefaultCloseGrace
	}
	if cfg.Negotiation == 0 {
		cfg.Negotiation = DefaultNegotiation
	}
	if cfg.Serve == nil {
		cfg.Serve = func(string) func(context.Context, muxer.Stream) { return nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Session{
		streams: streams, cfg: cfg,
		handed: make(chan struct{}), started: make(chan struct{}), over: make(chan struct{}),
		flushed: make(chan struct{}),
	}
	s.work.L = &s.mu
	s.queues, _ = muxer.NewSendQueues(&s.mu, nil, s.offer) // until SetChannels
	s.Sender = s.queues.Sender()
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.life, s.end = context.WithCancel(context.Background())
	ctx, handOver := context.WithCancel(s.life)
	s.handOver = handOver
	go func() {
		defer close(s.handed)
		s.acceptLoop(ctx, make(chan struct{}, maxEarly))
	}()
	return s
}

// SetChannels sets the channels that the session carries: those that both ends have. singly are the ids of those whose
// messages go one a stream, because the remote knows no others. Call it once, before Send and Run.
func (s *Session) SetChannels(channels []muxer.Channel, singly ...byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set || s.running {
		return errors.New("lanes: the channels are set twice, or too late")
	}
	queues, err := muxer.NewSendQueues(&s.mu, channels, s.offer)
	if err != nil {
		return fmt.Errorf("lanes: %w", err)
	}
	lanes, weights, largest := make([]lane, len(channels)), make([]int, len(channels)), 0
	names := make(map[string]bool, len(channels))
	for i, c := range channels {
		c = c.WithDefaults()
		if names[c.Name] {
			return fmt.Errorf("lanes: channel %s is there twice", c.Name)
		}
		names[c.Name] = true
		l := &lanes[i]
		l.received = queues.Received(i)
		if l.Channel, l.queue = c, queues.Queue(i); s.cfg.Single != nil {
			l.single = s.cfg.Single(c)
			l.singly = l.single != "" && slices.Contains(singly, c.ID)
		}
		weights[i] = c.Priority
		largest = max(largest, c.MaxMessage)
	}
	s.partial.Limit, s.partial.Shared = s.cfg.MaxPartial, s.cfg.Shared
	if s.partial.Limit == 0 {
		s.partial.Limit = largest + partialReserve
	}
	s.lanes, s.queues, s.fair, s.set = lanes, queues, muxer.NewFair(weights), true
	s.Sender = queues.Sender()
	s.singles.init(lanes, weights)
	if s.err != nil {
		queues.Close(s.err)
	}
	return nil
}

// Accepted records that the remote has accepted the link, so that Run need not ask it for a sign of life. Call it
// before Run.
func (s *Session) Accepted() { s.accepted = true }

// Run implements muxer.Session.
func (s *Session) Run(ctx context.Context, h muxer.Handler) error {
	if err := s.start(h); err != nil {
		return err
	}
	switch {
	case s.ctx.Err() != nil:
	case s.accepted:
		s.established()
	default: // the handshake has not told; any answer says that the remote has accepted the link
		s.wg.Go(func() {
			if _, err := s.Ping(s.life); err == nil {
				s.established()
			}
		})
	}
	s.streams.Up()
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.fail(&muxer.CloseError{Code: muxer.CodeShuttingDown, Reason: "context ended",
			Err: fmt.Errorf("%w: %w", muxer.ErrClosed, context.Cause(ctx))})
	})
	s.handOver()
	<-s.handed
	s.acceptLoop(s.life, nil)
	s.reading.Wait() // until all that has arrived is delivered
	s.mu.Lock()
	why := s.input
	if why == io.EOF && s.cut {
		why = &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true, Reason: "inside a message",
			Err: io.ErrUnexpectedEOF}
	}
	s.mu.Unlock()
	s.fail(why)
	<-s.life.Done()
	if !unhook() {
		<-stopped
	}
	s.wg.Wait()
	s.awaitHandlers()
	return s.err
}

// start lets the session begin, if it has not ended before.
func (s *Session) start(h muxer.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || !s.set && s.err == nil {
		return errors.New("lanes: Run was called twice, or before SetChannels")
	}
	s.running, s.handler = true, h
	if s.err != nil {
		return nil
	}
	close(s.started)
	for i := range s.lanes {
		s.offer(i)
	}
	return nil
}

// spawn runs f on a goroutine of the session; false: the session is over.
func (s *Session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return false
	}
	s.wg.Go(f)
	return true
}

// established tells the handler once that the remote has accepted the link.
func (s *Session) established() { s.establish.Do(s.handler.Established) }

// Close implements muxer.Session. What was queued before Run is not sent by a Close before Run.
func (s *Session) Close(code muxer.Code, reason string) error {
	s.fail(&muxer.CloseError{Code: code, Reason: reason, Err: muxer.ErrClosed})
	return nil
}

// fail ends the session for err, the first time, and waits for nothing. If we end it and its code is an orderly one,
// queued messages get a grace to be sent.
func (s *Session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	grace := time.Duration(0)
	if ours, ok := errors.AsType[*muxer.CloseError](err); ok && s.running && !ours.Remote && ours.Code.Orderly() {
		grace = s.cfg.CloseGrace
	}
	s.err = err
	s.stop()
	s.queues.Close(err)
	if !s.running {
		close(s.started)
	}
	s.checkFlushed()
	s.wg.Go(func() { s.hangUp(err, grace) })
}

// hangUp closes the connection when what is queued is sent, for at most grace.
func (s *Session) hangUp(err error, grace time.Duration) {
	until := time.Now().Add(grace)
	if grace > 0 {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-s.flushed:
		case <-s.over:
		case <-t.C:
		}
	}
	s.mu.Lock()
	s.shut = true
	s.work.Signal()
	s.mu.Unlock()
	var ce *muxer.CloseError
	code, reason := muxer.CodeUnknown, ""
	if errors.As(err, &ce) {
		code, reason = ce.Code, ce.Reason
	}
	_ = s.streams.CloseWith(code, reason, time.Until(until))
	s.end()
}

// checkFlushed closes flushed when the session ends and nothing is queued. The mutex is held.
func (s *Session) checkFlushed() {
	if s.err == nil || s.writing || s.singles.workers > 0 {
		return
	}
	for i := range s.lanes {
		if !s.lanes[i].queue.Empty() {
			return
		}
	}
	select {
	case <-s.flushed:
	default:
		close(s.flushed)
	}
}

// Over is closed when the remote sends no more. What has arrived can still be read.
func (s *Session) Over() <-chan struct{} { return s.over }

// Why returns what has ended the session, or what the remote says has, and otherwise err.
func (s *Session) Why(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ce *muxer.CloseError
	switch {
	case s.err != nil:
		return s.err
	case errors.As(s.input, &ce):
		return ce
	}
	return err
}

// Ping implements muxer.Session.
func (s *Session) Ping(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	rtt, err := s.streams.Ping(ctx)
	if err != nil {
		return 0, s.ended(err)
	}
	return rtt, nil
}

// ended is why the session ended, if it has, and otherwise err.
func (s *Session) ended(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return err
}

// Stats implements muxer.Session.
func (s *Session) Stats() muxer.Stats {
	st := s.streams.Stats()
	st.SentMessages, st.ReceivedMessages = s.sentMessages.Load(), s.receivedMessages.Load()
	st.Dropped = s.queues.Dropped() + s.lost.Load()
	return st
}
