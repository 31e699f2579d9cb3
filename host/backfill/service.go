// Package backfill fills a store of items by height, such as the blocks of a chain, from many peers at once, and serves
// the same store to others.
//
// Sync brings the store up to a target that its caller trusts, Backfill walks back from one. Both ask several peers in
// parallel, for as many heights a request as a peer answers in good time, and commit in order. What is wrong with a
// peer (slow, silent, pruned, lying) costs a request to another, and no more: scheduler.go has the rules.
package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	pb "github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// ChannelID is the service's channel on MConn, and ChannelName its name on streams.
const (
	ChannelID   = 0x7c
	ChannelName = "/switchyard/backfill/1.0.0"
)

// Config holds the settings of the service. A zero field means its default.
type Config struct {
	Window      int `toml:"window"`       // heights ahead of the verifier, at most; 0 means 2048
	WindowBytes int `toml:"window_bytes"` // bytes ahead of the verifier, and one item; 0 means 64 MiB
	AnswerBytes int `toml:"answer_bytes"` // bytes of one answer, ours and theirs, or one item; 0 means 1 MiB
	MaxItem     int `toml:"max_item"`     // bytes of the longest item; 0 means 16 MiB

	PeerRequests  int           `toml:"peer_requests"`  // to one peer at once; 0 means 4
	Batch         int           `toml:"batch"`          // heights of a request, at most; 0 means 1024
	TargetTime    time.Duration `toml:"target_time"`    // that an answer should take; 0 means 1 s
	AnswerTimeout time.Duration `toml:"answer_timeout"` // before another peer is asked; 0 means 10 s
	Tries         int           `toml:"tries"`          // bad items of one height before a run fails; 0 means 16

	Handlers     int `toml:"handlers"`      // requests of all peers that are answered at once; 0 means 16
	PeerHandlers int `toml:"peer_handlers"` // requests of one peer that are answered at once; 0 means 4
}

// lateAfter is how much longer than AnswerTimeout an answer is waited for: it is welcome when it comes.
const lateAfter = time.Minute

func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, 2048)
	c.WindowBytes = cmp.Or(c.WindowBytes, 64<<20)
	c.AnswerBytes = cmp.Or(c.AnswerBytes, 1<<20)
	c.MaxItem = cmp.Or(c.MaxItem, 16<<20)
	c.PeerRequests = cmp.Or(c.PeerRequests, 4)
	c.Batch = cmp.Or(c.Batch, 1024)
	c.TargetTime = cmp.Or(c.TargetTime, time.Second)
	c.AnswerTimeout = cmp.Or(c.AnswerTimeout, 10*time.Second)
	c.Tries = cmp.Or(c.Tries, 16)
	c.Handlers = cmp.Or(c.Handlers, 16)
	c.PeerHandlers = cmp.Or(c.PeerHandlers, 4)
	return c
}

// Validate reports an impossible setting.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"window", int64(c.Window)}, {"window_bytes", int64(c.WindowBytes)}, {"answer_bytes", int64(c.AnswerBytes)},
		{"max_item", int64(c.MaxItem)}, {"peer_requests", int64(c.PeerRequests)}, {"batch", int64(c.Batch)},
		{"target_time", int64(c.TargetTime)}, {"answer_timeout", int64(c.AnswerTimeout)}, {"tries", int64(c.Tries)},
		{"handlers", int64(c.Handlers)}, {"peer_handlers", int64(c.PeerHandlers)}} {
		if f.value < 0 {
			return fmt.Errorf("backfill: %s is negative (%d)", f.name, f.value)
		}
	}
	return nil
}

// maxMessage is the longest message: an answer with one item more than its bytes, the frame, and what each item costs.
func (c *Config) maxMessage() int { return max(c.AnswerBytes, c.MaxItem) + 16*c.Batch + 1024 }

func (c *Config) scheduler() schedulerConfig {
	return schedulerConfig{window: uint64(c.Window), windowBytes: int64(c.WindowBytes),
		answerBytes: int64(c.AnswerBytes), peerRequests: c.PeerRequests, batch: c.Batch, target: c.TargetTime,
		timeout: c.AnswerTimeout, tries: c.Tries}
}

type requests = host.Requests[*pb.HeightsRequest, *pb.HeightsAnswer]

// Service serves a store to peers, and fills it from theirs. Its methods may be called concurrently, Run once.
type Service struct {
	cfg      Config
	host     *host.Host
	store    Store
	log      *slog.Logger
	requests *requests
	stopped  chan struct{} // closed when Run has ended

	mu     sync.Mutex // guards what follows
	has    Span       // what peers are told
	hasAt  time.Time  // when it was read
	runs   map[*run]struct{}
	counts Counts // of runs that have ended
}

// New opens the service's channel. It starts nothing; see Run. A nil logger discards.
func New(cfg Config, h *host.Host, store Store, logger *slog.Logger) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ch, err := h.OpenChannel(muxer.Channel{ID: ChannelID, Name: ChannelName, MaxMessage: cfg.maxMessage()})
	if err != nil {
		return nil, fmt.Errorf("backfill: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, host: h, store: store, log: logger, runs: map[*run]struct{}{}, stopped: make(chan struct{})}
	s.requests = host.NewRequests(ch, host.RequestsConfig[*pb.HeightsRequest, *pb.HeightsAnswer]{
		Serve: s.serve, Timeout: cfg.AnswerTimeout + lateAfter, PeerHandlers: cfg.PeerHandlers, Handlers: cfg.Handlers})
	return s, nil
}

// Run serves and asks until ctx ends, when it returns nil, or until the host stops. Sync and Backfill need it, and end
// with it: their error is host.ErrStopped then.
func (s *Service) Run(ctx context.Context) error {
	defer close(s.stopped)
	if err := s.requests.Run(ctx); err != nil {
		return fmt.Errorf("backfill: %w", err)
	}
	return nil
}

// rangeAge is how old the range may be that peers are told.
const rangeAge = time.Second

// servedRange returns the range that peers are told: the highest run of stored heights.
func (s *Service) servedRange(ctx context.Context) (Span, error) {
	now := time.Now()
	s.mu.Lock()
	has, fresh := s.has, !s.hasAt.IsZero() && now.Sub(s.hasAt) < rangeAge
	s.mu.Unlock()
	if fresh {
		return has, nil
	}
	spans, err := s.store.Range(ctx, 0, math.MaxUint64)
	if err != nil {
		return Span{}, err
	}
	has = Span{From: 1, To: 0}
	if n := len(spans); n > 0 {
		has = spans[n-1]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has, s.hasAt = has, now
	return has, nil
}

// serve answers a request.
func (s *Service) serve(ctx context.Context, _ host.Envelope, req *pb.HeightsRequest) (*pb.HeightsAnswer, error) {
	has, err := s.servedRange(ctx)
	if err != nil {
		return nil, err
	}
	a := &pb.HeightsAnswer{From: has.From}
	if !has.Empty() {
		a.End = has.To + 1
	}
	most := min(uint64(s.cfg.AnswerBytes), req.GetBytes())
	height, bytes := req.GetHeight(), uint64(0)
	for i := range min(int(req.GetCount()), s.cfg.Batch) {
		item, err := s.store.Get(ctx, height)
		if errors.Is(err, ErrNoHeight) {
			break
		}
		if err != nil {
			return nil, err
		}
		if bytes += uint64(len(item)); i > 0 && bytes > most {
			break
		}
		a.Items = append(a.Items, item)
		if req.GetDown() {
			if height--; height == math.MaxUint64 {
				break
			}
		} else if height++; height == 0 {
			break
		}
	}
	return a, nil
}
