package muxer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
)

// Defaults of LanesConfig's zero fields.
const (
	DefaultCloseGrace  = time.Second
	DefaultNegotiation = 10 * time.Second
	// laneReserve is by how much the default MaxPartial is larger than the largest message.
	laneReserve = 32 << 20
)

// LanesConfig are the settings of a session over streams. The zero value of every field means its default.
type LanesConfig struct {
	// Serve, if set, finds what takes the streams of a protocol that the wire itself takes, from the beginning: identify, ping; nil for others. It must not
	// block. Each call of what it returns has a goroutine of its own, and must return soon after ctx, which ends with the session. The stream is closed behind
	// it. Its read deadline is that of the negotiation. The answer to the remote's proposal goes out with the first Write, or when a Read would wait.
	Serve func(protocol string) func(ctx context.Context, s Stream)
	// Proposed, if set, is told of each protocol that the remote proposes for a stream, before it is looked for. It must not block, and is called
	// concurrently.
	Proposed func(protocol string)
	// Single, if set, is the protocol of streams that carry one message of a channel each (lanesingle.go); "" for none. They are taken beside those of
	// the channel's own name.
	Single func(Channel) string
	// CloseGrace is how long an orderly Close goes on sending what is queued.
	CloseGrace time.Duration
	// Negotiation is how long the remote may take to name the protocol of a stream.
	Negotiation time.Duration
	// MaxPartial is how many bytes the remote's unfinished messages may hold, in all channels together; 0 means 32 MiB more than the largest
	// MaxMessage.
	MaxPartial int
	Logger     *slog.Logger // nil discards
}

// Lanes is a StreamSession over byte streams. A channel is one long-lived stream in each direction, opened at the first message, with a uvarint length
// ahead of each message; its protocol is the channel's name. All other streams are the wire's own and the applications'.
//
// One goroutine, the reader, reads all lanes: the connection tells which streams have bytes, so it never waits for one of them. One other, the writer,
// writes all lanes, fairly by their priorities, and never waits for one of them either: a lane whose window is full is left out until the remote makes room.
// Both are there only while there is something to do, and a few seconds longer; what is short and arrives alone is read by the connection (laneprompt.go), and a short
// answer written by who sends it (lanenow.go). It keeps the connection's own queue short, so that the choice of the next lane is made late.
type Lanes struct {
	streams Streams
	cfg     LanesConfig
	log     *slog.Logger
	ctx     context.Context // what Deliver waits on; ends with Close
	stop    context.CancelFunc
	life    context.Context // ends with the connection
	end     context.CancelFunc
	deaf    chan struct{}  // closed when the remote sends no more
	wg      sync.WaitGroup // all goroutines but Run's

	mu       sync.Mutex // guards what follows, and the lanes
	lanes    []lane
	ids      []byte // of the lanes' channels
	set      bool   // channels are known
	agreed   bool   // the remote has accepted the link
	writing  *Fair
	reading  *Fair
	wake     sync.Cond // the writer waits on it
	writer   laneWorker
	news     sync.Cond // the reader waits on it
	reader   laneReaderState
	rest     *time.Timer // the next look at both of them
	single   singles
	prompt   promptness
	now      nowness
	running  bool
	handler  Handler
	started  chan struct{} // closed when Run begins, or the session ends before
	naming   int           // streams of the remote whose protocol is not agreed on
	err      error         // why the session ends; Send fails with it
	input    error         // why the remote sends no more
	closing  bool          // an orderly Close: send what is queued
	saidBye  bool
	alive    bool // the first keep-alive was answered
	grace    *time.Timer
	shutting bool
	done     chan struct{} // closed when the connection is

	partial                        int // Run's own: memory that unfinished messages hold
	sentMessages, receivedMessages atomic.Uint64
	dropped                        atomic.Uint64
	rtt                            atomic.Int64
}

var _ StreamSession = (*Lanes)(nil)

// lane is one channel. The session's mutex guards it, but for what the reader owns.
type lane struct {
	id         byte
	name       string
	single     string // the protocol of streams that carry one message each, or ""
	singly     bool   // we send that way
	maxMessage int
	laneQueue

	out     RawStream
	answer  *multistream.Answered // nil once the remote has taken our stream
	look    bool                  // out has news for Run: an answer, or an end
	refused error

	in   RawStream
	read laneReader // Run's own
}

// NewLanes makes a session of streams, which it owns from then on. Streams of cfg.Serve, and OpenStream, work at once; SetChannels must be called
// before Run, and Close and Run also when nothing was sent.
func NewLanes(streams Streams, cfg LanesConfig) *Lanes {
	if cfg.CloseGrace == 0 {
		cfg.CloseGrace = DefaultCloseGrace
	}
	if cfg.Negotiation == 0 {
		cfg.Negotiation = DefaultNegotiation
	}
	if cfg.Serve == nil {
		cfg.Serve = func(string) func(context.Context, Stream) { return nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Lanes{streams: streams, cfg: cfg, log: cfg.Logger, started: make(chan struct{}), done: make(chan struct{}), deaf: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.life, s.end = context.WithCancel(context.Background())
	s.wake.L, s.news.L = &s.mu, &s.mu
	streams.Watch(lanesWatcher{s})
	if a, ok := streams.(Announcer); ok {
		a.Announce(s.accepted)
	} else {
		s.wg.Go(s.acceptLoop)
	}
	return s
}

// SetChannels says which channels the session carries: those that both ends have. singly are the ids of those whose messages we send one a stream, because the
// remote knows no others. Call it once, before Run and Send.
func (s *Lanes) SetChannels(channels []Channel, singly ...byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set || s.running {
		return errors.New("lanes: the channels are set twice, or too late")
	}
	weights := make([]int, len(channels))
	lanes := make([]lane, len(channels))
	ids := make([]byte, 0, len(channels))
	singles, sendsSingly, largest := false, false, 0
	for i, c := range channels {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("lanes: %w", err)
		}
		c = c.WithDefaults()
		if findLane(lanes[:i], c.Name) >= 0 || bytes.IndexByte(ids, c.ID) >= 0 {
			return fmt.Errorf("lanes: channel 0x%02x (%s) is there twice", c.ID, c.Name)
		}
		ids = append(ids, c.ID)
		lanes[i] = lane{id: c.ID, name: c.Name, maxMessage: c.MaxMessage, laneQueue: laneQueue{budget: c.SendQueue}}
		if s.cfg.Single != nil {
			lanes[i].single = s.cfg.Single(c)
			lanes[i].singly = lanes[i].single != "" && bytes.IndexByte(singly, c.ID) >= 0
			singles = singles || lanes[i].single != ""
			sendsSingly = sendsSingly || lanes[i].singly
		}
		weights[i] = c.Priority
		largest = max(largest, c.MaxMessage)
	}
	if s.cfg.MaxPartial == 0 {
		s.cfg.MaxPartial = largest + laneReserve
	}
	s.lanes, s.ids, s.set = lanes, ids, true
	if singles {
		s.single.slots = make(chan struct{}, maxSingles)
	}
	if sendsSingly {
		s.single.queue = NewFair(weights)
	}
	s.writing, s.reading = NewFair(weights), NewFair(weights)
	return nil
}

// findLane finds the lane of that name; -1 if there is none.
func findLane(lanes []lane, name string) int {
	for i := range lanes {
		if lanes[i].name == name {
			return i
		}
	}
	return -1
}

// Agreed says that the remote has accepted the link, so that Run need not ask it for a sign of life. Call it before Run.
func (s *Lanes) Agreed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agreed = true
}

// Run implements Session.
func (s *Lanes) Run(ctx context.Context, h Handler) error {
	ended := make(chan error, 1)
	if err := s.Start(ctx, h, func(err error) { ended <- err }); err != nil {
		return err
	}
	return <-ended
}

// Start implements Starter.
func (s *Lanes) Start(ctx context.Context, h Handler, ended func(error)) error {
	s.mu.Lock()
	if s.running || !s.set && s.err == nil {
		s.mu.Unlock()
		return errors.New("lanes: Run was called twice, or before SetChannels")
	}
	s.running, s.handler = true, h
	over, agreed := s.err != nil, s.agreed
	s.mu.Unlock()
	if over {
		go func() {
			<-s.done
			s.wg.Wait()
			ended(s.err)
		}()
		return nil
	}
	close(s.started)
	s.mu.Lock()
	for i := range s.lanes {
		s.offer(i)
	}
	s.mu.Unlock()
	s.wg.Add(1)
	unhook := context.AfterFunc(ctx, func() {
		defer s.wg.Done()
		s.close(&CloseError{Code: CodeShuttingDown, Reason: "context ended", Err: fmt.Errorf("%w: %w", ErrClosed, context.Cause(ctx))})
	})
	waits, _ := h.(Liveness)
	unasked := s.firstPing(waits != nil && !agreed)
	s.beginReader(waits, func(err error) {
		s.fail(err)
		<-s.done
		unasked()
		if unhook() {
			s.wg.Done()
		}
		s.wg.Wait()
		ended(s.err)
	})
	return nil
}

// lane finds a channel's lane and checks msg against it.
func (s *Lanes) lane(channel byte, msg []byte) (int, error) {
	i := bytes.IndexByte(s.ids, channel)
	if i < 0 {
		return 0, fmt.Errorf("lanes: channel 0x%02x: %w", channel, ErrUnknownChannel)
	}
	if limit := s.lanes[i].maxMessage; len(msg) > limit {
		return 0, fmt.Errorf("lanes: %d bytes on channel 0x%02x, which takes %d: %w", len(msg), channel, limit, ErrMessageTooLarge)
	}
	return i, nil
}

// Send implements Session. A channel that the remote refuses is an ErrUnknownChannel.
func (s *Lanes) Send(ctx context.Context, channel byte, msg []byte) error {
	i, err := s.lane(channel, msg)
	if err != nil {
		return err
	}
	l := &s.lanes[i]
	s.mu.Lock()
	if err := s.sendError(l); err != nil {
		s.mu.Unlock()
		return err
	}
	if l.waiting == nil && l.fits(len(msg)) {
		now := s.takeNow(i, msg)
		if now == nil {
			s.queue(i, msg)
		}
		s.mu.Unlock()
		if now != nil {
			s.writeNow(i, now, msg)
		}
		return nil
	}
	if err := ctx.Err(); err != nil {
		s.mu.Unlock()
		return err
	}
	w := &laneWaiter{msg: msg, ready: make(chan struct{})}
	l.wait(w)
	s.mu.Unlock()

	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.done { // at the same moment
		return w.err
	}
	l.leave(w)
	return ctx.Err()
}

// TrySend implements Session.
func (s *Lanes) TrySend(channel byte, msg []byte) bool {
	i, err := s.lane(channel, msg)
	if err != nil {
		s.dropped.Add(1)
		return false
	}
	l := &s.lanes[i]
	s.mu.Lock()
	ok := s.sendError(l) == nil && l.waiting == nil && l.fits(len(msg))
	if ok {
		s.queue(i, msg)
	}
	s.mu.Unlock()
	if !ok {
		s.dropped.Add(1)
	}
	return ok
}

func (s *Lanes) sendError(l *lane) error {
	if s.err != nil {
		return s.err
	}
	return l.refused
}

// queue appends msg to a lane and wakes the writer. The mutex is held.
func (s *Lanes) queue(i int, msg []byte) {
	l := &s.lanes[i]
	l.push(msg)
	s.offer(i)
}

// Close implements Session. It does not wait: Run returns when the session has ended. What was queued before Run was called is not sent by a
// Close before Run.
func (s *Lanes) Close(code Code, reason string) error {
	s.close(&CloseError{Code: code, Reason: reason, Err: ErrClosed})
	return nil
}

// close ends the session from our side.
func (s *Lanes) close(why *CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.abandon(why)
	s.stop()
	var wait time.Duration
	if s.running && why.Code.Orderly() && s.input == nil {
		s.closing = true
		wait = s.cfg.CloseGrace
		s.wakeWriter()
	}
	s.grace = time.AfterFunc(wait, s.shut)
}

// fail ends the session at once, for err.
func (s *Lanes) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.abandon(err)
	}
	if s.grace != nil && s.grace.Stop() || s.grace == nil {
		s.mu.Unlock()
		s.stop()
		s.shut()
		return
	}
	s.mu.Unlock()
}

// abandon records why the session ends and lets nobody wait any longer. The mutex is held.
func (s *Lanes) abandon(err error) {
	s.err = err
	s.endHearing()
	for i := range s.lanes {
		s.lanes[i].abandon(err)
	}
	if !s.running {
		close(s.started)
	}
}

const goodbyeTime = 250 * time.Millisecond

// shut closes the connection, which ends all goroutines.
func (s *Lanes) shut() {
	s.mu.Lock()
	if s.shutting {
		s.mu.Unlock()
		return
	}
	s.shutting = true
	if s.rest != nil {
		s.rest.Stop()
	}
	bye := !s.saidBye && s.input == nil
	code, reason := CodeUnknown, ""
	var ce *CloseError
	if errors.As(s.err, &ce) {
		code, reason = ce.Code, ce.Reason
	}
	s.wakeReader()
	s.wake.Signal()
	s.mu.Unlock()
	s.end()
	if bye {
		s.streams.Goodbye(code, reason, goodbyeTime)
	}
	_ = s.streams.Close()
	s.mu.Lock()
	for i := range s.lanes {
		s.lanes[i].clear()
	}
	s.mu.Unlock()
	close(s.done)
}

// Over is closed when the session has ended, or the remote sends no more: what has arrived can still be read.
func (s *Lanes) Over() <-chan struct{} { return s.deaf }

// endHearing closes deaf. The mutex is held.
func (s *Lanes) endHearing() {
	select {
	case <-s.deaf:
	default:
		close(s.deaf)
	}
}

// Why is what has ended the session, or what the remote says has; err where nothing has, or nobody knows.
func (s *Lanes) Why(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ce *CloseError
	switch {
	case s.err != nil:
		return s.err
	case errors.As(s.input, &ce):
		return ce
	}
	return err
}

// Stats implements Session.
func (s *Lanes) Stats() Stats {
	sent, received := s.streams.Bytes()
	rtt := time.Duration(s.rtt.Load())
	if m, ok := s.streams.(Measurer); ok && m.RTT() > 0 {
		rtt = m.RTT()
	}
	return Stats{
		SentBytes: sent, ReceivedBytes: received,
		SentMessages: s.sentMessages.Load(), ReceivedMessages: s.receivedMessages.Load(),
		Dropped: s.dropped.Load(), RTT: rtt,
	}
}
