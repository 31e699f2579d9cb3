// Package echo is a node's diagnostic service: it returns every message and every stream to its sender. It can also
// call the same service of other nodes and measure the round trip.
//
// A message on the channel is exactly the payload, so requests and replies look alike, and two nodes that call each
// other would return one message forever. Therefore a message that equals a pending call is a reply, and any other
// message a request.
package echo

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ChannelID is the service's channel on MConn, and ChannelName its name on streams, where a length precedes each
// message. Bare bytes go over StreamProtocol.
const (
	ChannelID   = 0x7e
	ChannelName = "/echo-channel/1.0.0"
)

// sendTimeout is how long a peer may leave its answers unread.
const sendTimeout = 30 * time.Second

// Config holds the settings of the service. A zero field means its default.
type Config struct {
	MaxMessage  int `toml:"max_message"` // bytes of the longest message; 0 means 8 MiB
	Outstanding int `toml:"outstanding"` // calls to one peer without a reply; 0 means 64
	// bytes of answers that wait for one slow peer, more are dropped; 0 means 4 MiB
	Backlog int `toml:"backlog"`
	// SlowPeers bounds the peers with a backlog; 0 means 64. Further slow peers lose the answers that do not fit their
	// queue.
	SlowPeers int `toml:"slow_peers"`
}

// Default returns the zero Config.
func Default() Config { return Config{} }

func (c Config) withDefaults() Config {
	if c.MaxMessage == 0 {
		c.MaxMessage = 8 << 20
	}
	if c.Outstanding == 0 {
		c.Outstanding = 64
	}
	if c.Backlog == 0 {
		c.Backlog = 4 << 20
	}
	if c.SlowPeers == 0 {
		c.SlowPeers = 64
	}
	return c
}

// Validate reports an impossible setting.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{{"MaxMessage", c.MaxMessage}, {"Outstanding", c.Outstanding}, {"Backlog", c.Backlog},
		{"SlowPeers", c.SlowPeers}} {
		if f.value < 0 {
			return fmt.Errorf("echo: %s is negative (%d)", f.name, f.value)
		}
	}
	return nil
}

// lane is the part of *host.Channel that the service uses.
type lane interface {
	Send(ctx context.Context, to transport.NodeID, msg []byte) error
	TrySend(to transport.NodeID, msg []byte) bool
	Receive(ctx context.Context) (host.Envelope, error)
}

// Service answers and calls. Its methods may be called concurrently, Run once.
type Service struct {
	cfg   Config
	ch    lane
	log   *slog.Logger
	calls calls
	wg    sync.WaitGroup // the goroutines of slow peers; Run waits for them

	mu   sync.Mutex
	slow map[transport.NodeID]*backlog

	answered, dropped atomic.Uint64
}

// New opens the service's channel with open, the host's OpenChannel. It starts nothing; see Run and HandleStreams. A
// nil logger discards.
func New(cfg Config, open func(muxer.Channel) (*host.Channel, error), logger *slog.Logger) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ch, err := open(muxer.Channel{ID: ChannelID, Name: ChannelName, MaxMessage: cfg.MaxMessage})
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	return newService(cfg, ch, logger), nil
}

func newService(cfg Config, ch lane, logger *slog.Logger) *Service {
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	cfg = cfg.withDefaults()
	return &Service{
		cfg: cfg, ch: ch, log: logger, slow: make(map[transport.NodeID]*backlog),
		calls: calls{most: cfg.Outstanding, seed: maphash.MakeSeed(), waiting: make(map[transport.NodeID][]*call)},
	}
}

// Run answers until ctx ends, when it returns nil, or until the host stops.
func (s *Service) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer stop()
	for {
		e, err := s.ch.Receive(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		if !s.calls.replied(e.From, e.Message, time.Now()) {
			s.answer(ctx, e)
		}
	}
}

// Stats counts what the service has done since its start.
type Stats struct {
	Answered uint64 // requests whose answer was queued, and streams that were returned to their end
	Dropped  uint64 // requests whose sender does not read its answers, and streams that broke
}

// Stats returns the present counts.
func (s *Service) Stats() Stats {
	return Stats{Answered: s.answered.Load(), Dropped: s.dropped.Load()}
}

// backlog holds the answers that wait for a peer whose send queue is full. Service.mu guards it.
type backlog struct {
	answers [][]byte
	bytes   int
}

// answer returns a message to its sender. It never waits, because Run receives for all peers: a slow peer gets a
// goroutine of its own, which ends with its backlog.
func (s *Service) answer(ctx context.Context, e host.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.slow[e.From]
	switch {
	case b == nil && s.ch.TrySend(e.From, e.Message):
		s.answered.Add(1)
	case b == nil && len(s.slow) >= s.cfg.SlowPeers, b != nil && b.bytes > 0 && b.bytes+len(e.Message) > s.cfg.Backlog:
		s.dropped.Add(1)
	case b == nil:
		b = &backlog{answers: [][]byte{e.Message}, bytes: len(e.Message)}
		s.slow[e.From] = b
		s.wg.Go(func() { s.drain(ctx, e.From, b) })
	default:
		b.answers = append(b.answers, e.Message)
		b.bytes += len(e.Message)
	}
}

// drain sends a backlog in order. If the peer takes nothing for sendTimeout, or is gone, it drops the rest.
func (s *Service) drain(ctx context.Context, to transport.NodeID, b *backlog) {
	for {
		s.mu.Lock()
		if len(b.answers) == 0 {
			delete(s.slow, to)
			s.mu.Unlock()
			return
		}
		msg := b.answers[0]
		s.mu.Unlock()

		sendCtx, cancel := context.WithTimeout(ctx, sendTimeout)
		err := s.ch.Send(sendCtx, to, msg)
		cancel()

		s.mu.Lock()
		if err != nil {
			s.log.Debug("answers dropped", "peer", to.Short(), "count", len(b.answers), "error", err)
			s.dropped.Add(uint64(len(b.answers)))
			b.answers, b.bytes = nil, 0
		} else {
			s.answered.Add(1)
			b.answers, b.bytes = b.answers[1:], b.bytes-len(msg)
		}
		s.mu.Unlock()
	}
}
