// Package autonat finds out whether others reach a node, by asking peers to dial it back. It speaks AutoNAT v2 of
// libp2p (libp2p/specs, autonat/autonat-v2.md), with Switchyard and go-libp2p nodes alike.
//
// The client sends a peer one of its own addresses and a nonce. The peer dials that address from a port, and with a
// key, that it uses for nothing else, and sends the nonce on the new connection. A nonce that arrives on a new link is
// a proof. What a peer merely says may be a lie, so answers tell which it is.
//
// The server dials back only to the IP that asks, so that nobody can aim it at others, and keeps to the limits of
// Config. A request for another IP is refused: the specification's way, to make the asking node pay with 100 kB of data
// first, is not built for the server; the client pays if another server asks for it.
//
// Peers that are linked over comet have no streams and cannot be asked.
package autonat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The protocols.
const (
	DialProtocol     = "/libp2p/autonat/2/dial-request"
	DialBackProtocol = "/libp2p/autonat/2/dial-back"
)

// Config has the service's settings. The zero Config works.
type Config struct {
	// Serve dials back for peers that ask. Default turns it on.
	Serve bool `toml:"serve"`
	// PerMinute bounds the requests that are served in a minute, and PerIP those of one IP (an IPv6 /64 counts as one).
	// 0 means 30 and 12.
	PerMinute int `toml:"per_minute"`
	PerIP     int `toml:"per_ip"`
	// Loopback dials back to loopback, too, for peers that come from there: for tests. Behind a proxy on this machine,
	// strangers come from loopback.
	Loopback bool `toml:"loopback"`
}

// Default returns the settings of a node that also serves.
func Default() Config { return Config{Serve: true, PerMinute: defaultPerMinute, PerIP: defaultPerIP} }

const (
	defaultPerMinute = 30
	defaultPerIP     = 12
)

// Validate returns what is wrong.
func (c Config) Validate() error {
	if c.PerMinute < 0 || c.PerIP < 0 {
		return errors.New("per_minute and per_ip cannot be negative (0 means the default)")
	}
	return nil
}

// Opener opens a stream of a connection.
type Opener func(ctx context.Context, protocols ...string) (muxer.Stream, error)

// Prober connects to an address from a port, and with a key, that nothing else uses, as a plain libp2p node. Once the
// remote has proven its key it calls use, with a function that opens streams; then it ends the connection. If the
// remote has proven its key but the connection ended before use could be called, the error wraps ErrEnded.
type Prober func(ctx context.Context, to transport.Address, use func(context.Context, Opener) error) error

// ErrEnded reports that a remote has proven its key and then ended the connection, or refused it.
var ErrEnded = errors.New("the remote took the connection, and ended it")

// Service asks peers and answers them. New registers its protocols; Run only waits. Its methods may be called
// concurrently.
type Service struct {
	cfg    Config
	host   *host.Host
	probe  Prober
	log    *slog.Logger
	limits limits
	served *prometheus.CounterVec

	asking chan struct{} // a place for the one that asks

	mu     sync.Mutex // guards what follows
	nonces map[uint64]*expected
}

// New registers the protocols with the host. A nil probe makes a service that only asks. A nil logger discards.
func New(cfg Config, h *host.Host, probe Prober, log *slog.Logger) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("service autonat: %w", err)
	}
	if cfg.PerMinute == 0 {
		cfg.PerMinute = defaultPerMinute
	}
	if cfg.PerIP == 0 {
		cfg.PerIP = defaultPerIP
	}
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Service{cfg: cfg, host: h, probe: probe, log: log, asking: make(chan struct{}, 1),
		nonces: map[uint64]*expected{},
		limits: limits{all: cfg.PerMinute, perIP: cfg.PerIP},
		served: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_autonat_requests_total",
			Help: "Requests of peers to dial them back, by what came of them.",
		}, []string{"outcome"}),
	}
	for _, o := range outcomes {
		s.served.WithLabelValues(o)
	}
	if err := h.HandleStream(DialBackProtocol, s.serveDialBack); err != nil {
		return nil, fmt.Errorf("service autonat: %w", err)
	}
	if cfg.Serve && probe != nil {
		if err := h.HandleStream(DialProtocol, s.serveRequest); err != nil {
			return nil, fmt.Errorf("service autonat: %w", err)
		}
	}
	return s, nil
}

// Run waits until ctx ends: the service works on the goroutines of streams and of those who ask.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Collectors returns the metrics.
func (s *Service) Collectors() []prometheus.Collector { return []prometheus.Collector{s.served} }

// streamTime bounds a request with all that belongs to it, at both ends.
const streamTime = 20 * time.Second
