package relay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
)

// ServiceConfig has the settings of a Service. A zero field means its default.
type ServiceConfig struct {
	// Topics are NAME=CHANNEL each, such as "items=0x7d": a relay with a channel of its own, whose number on MConn must
	// be the same on all nodes. Empty means "items=0x7d".
	Topics    []string `toml:"topics"`
	MaxItem   int      `toml:"max_item"`   // bytes; the same on all nodes. 0 means 1 MiB
	Keep      int64    `toml:"keep"`       // bytes of items kept to serve peers, each topic; 0 means 64 MiB
	SendQueue int      `toml:"send_queue"` // bytes that wait for one peer, each topic; 0 means 256 KiB
	Buffer    int      `toml:"buffer"`     // items that may wait for one reader of the admin API; 0 means 1,024
}

// DefaultService returns the zero ServiceConfig with its topic written out.
func DefaultService() ServiceConfig { return ServiceConfig{Topics: []string{"items=0x7d"}} }

// Validate reports an impossible setting.
func (c ServiceConfig) Validate() error {
	_, err := c.relays()
	return err
}

// relays returns the configuration of each relay.
func (c ServiceConfig) relays() ([]Config, error) {
	if len(c.Topics) == 0 {
		c.Topics = DefaultService().Topics
	}
	if c.Buffer < 0 {
		return nil, fmt.Errorf("relay: Buffer %d is negative", c.Buffer)
	}
	var all []Config
	for _, text := range c.Topics {
		name, number, _ := strings.Cut(text, "=")
		id, err := strconv.ParseUint(number, 0, 8)
		if err != nil || id == 0 || name == "" {
			return nil, fmt.Errorf("relay: topic %.80q: want NAME=CHANNEL, such as items=0x7d", text)
		}
		cfg := Config{Topic: name, Channel: byte(id), MaxItem: c.MaxItem, Keep: c.Keep, SendQueue: c.SendQueue}
		cfg = cfg.withDefaults()
		if err := cfg.check(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(o Config) bool { return o.Topic == name || o.Channel == byte(id) }) {
			return nil, fmt.Errorf("relay: topic %.80q: the name or the channel is there twice", text)
		}
		all = append(all, cfg)
	}
	return all, nil
}

// Service is a node's relays, one a topic.
type Service struct {
	relays []*Relay
	buffer int
}

// NewService opens the relays; see New.
func NewService(cfg ServiceConfig, h *host.Host, logger *slog.Logger) (*Service, error) {
	configs, err := cfg.relays()
	if err != nil {
		return nil, err
	}
	s := &Service{buffer: cfg.Buffer}
	for _, c := range configs {
		r, err := New(c, h, logger)
		if err != nil {
			return nil, err
		}
		s.relays = append(s.relays, r)
	}
	return s, nil
}

// Topic returns the relay of a topic; that of the first topic for "", and nil if there is none.
func (s *Service) Topic(name string) *Relay {
	for _, r := range s.relays {
		if name == "" || r.cfg.Topic == name {
			return r
		}
	}
	return nil
}

// Topics returns the names of the topics.
func (s *Service) Topics() []string {
	var names []string
	for _, r := range s.relays {
		names = append(names, r.cfg.Topic)
	}
	return names
}

// Buffer is how many items may wait for a reader of the admin API.
func (s *Service) Buffer() int { return s.buffer }

// Collectors returns the metrics.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{&collector{s.relays}}
}

// Run runs the relays until ctx ends or one fails.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(s.relays))
	for _, r := range s.relays {
		go func() { ended <- r.Run(ctx) }()
	}
	var first error
	for range s.relays {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
		cancel()
	}
	return first
}
