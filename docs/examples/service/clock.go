// Package clock is a service of one's own, of requests and responses: a node asks its peers what time it is, and so
// learns how far their clocks are from its own. It adds a command, a route of the API and a metric.
package clock

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// channel is the service's: the number travels on comet links, the name on those with streams. CometBFT's own are below
// 0x70.
var channel = muxer.Channel{ID: 0x71, Name: "/clock/1.0.0", MaxMessage: 1 << 10}

// Config is what [services.clock] may say.
type Config struct {
	Timeout time.Duration // timeout: of a question
}

// Default waits for 5 s.
func Default() Config { return Config{Timeout: 5 * time.Second} }

// Service asks and answers.
type Service struct {
	cfg      Config
	host     *host.Host
	requests *host.Requests[*emptypb.Empty, *timestamppb.Timestamp]
	answers  prometheus.Counter
}

// New opens the channel. It starts nothing.
func New(cfg Config, h *host.Host, _ *slog.Logger) (*Service, error) {
	c, err := h.OpenChannel(channel)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, host: h, answers: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clock_answers_total", Help: "Questions of peers that were answered."})}
	s.requests = host.NewRequests(c, host.RequestsConfig[*emptypb.Empty, *timestamppb.Timestamp]{Serve: s.answer})
	return s, nil
}

// Run answers until ctx ends.
func (s *Service) Run(ctx context.Context) error { return s.requests.Run(ctx) }

// answer is what a peer gets.
func (s *Service) answer(context.Context, host.Envelope, *emptypb.Empty) (*timestamppb.Timestamp, error) {
	s.answers.Inc()
	return timestamppb.Now(), nil
}

// Skew is how far the clock of a peer is from ours.
type Skew struct {
	ID    transport.NodeID `json:"node_id"`
	MS    float64          `json:"ms"` // more than 0: the peer's is ahead
	Error string           `json:"error,omitempty"`
}

// Ask asks all peers that have the service, sixteen at a time.
func (s *Service) Ask(ctx context.Context) []Skew {
	peers := slices.DeleteFunc(s.host.Peers(), func(p host.PeerInfo) bool {
		return !slices.Contains(p.Channels, channel.ID)
	})
	out := make([]Skew, len(peers))
	var group errgroup.Group
	group.SetLimit(16)
	for i, p := range peers {
		group.Go(func() error {
			out[i] = s.skew(ctx, p.ID)
			return nil
		})
	}
	_ = group.Wait()
	return out
}

// skew asks one peer. Its answer is taken to be of the middle of the round trip.
func (s *Service) skew(ctx context.Context, id transport.NodeID) Skew {
	began := time.Now()
	remote, err := s.requests.Call(ctx, id, &emptypb.Empty{}, s.cfg.Timeout)
	if err != nil {
		return Skew{ID: id, Error: err.Error()}
	}
	middle := began.Add(time.Since(began) / 2)
	return Skew{ID: id, MS: float64(remote.AsTime().Sub(middle).Microseconds()) / 1000}
}
