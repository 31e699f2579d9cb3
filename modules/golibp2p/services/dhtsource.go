package services

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/transport"
)

// SourceConfig is what the [[discovery]] table with use = "dht" may say.
type SourceConfig struct {
	// Every is how often the source looks for peers while the node needs some, give or take a tenth.
	Every time.Duration
	// Timeout bounds one such lookup.
	Timeout time.Duration
	// MaxPeers bounds the peers that one lookup reports, MaxAddresses the addresses of each.
	MaxPeers, MaxAddresses int
}

// DefaultSource returns the defaults.
func DefaultSource() SourceConfig {
	return SourceConfig{Every: 5 * time.Minute, Timeout: time.Minute, MaxPeers: 200, MaxAddresses: 8}
}

// Validate reports an impossible setting.
func (c SourceConfig) Validate() error {
	switch {
	case c.Every < time.Second || c.Every > 24*time.Hour:
		return fmt.Errorf("every: %v is not in 1s to 24h", c.Every)
	case c.Timeout < time.Second || c.Timeout > 10*time.Minute:
		return fmt.Errorf("timeout: %v is not in 1s to 10m", c.Timeout)
	case c.MaxPeers < 1 || c.MaxPeers > 10_000:
		return fmt.Errorf("max_peers: %d is not in 1 to 10000", c.MaxPeers)
	case c.MaxAddresses < 1 || c.MaxAddresses > 64:
		return fmt.Errorf("max_addresses: %d is not in 1 to 64", c.MaxAddresses)
	}
	return nil
}

// sourceParts are what the source is built from.
type sourceParts struct {
	fx.In

	DHT *DHT `optional:"true"`
}

func sourcePlugin() modules.Plugin {
	return modules.DiscoveryFrom("dht", DefaultSource,
		func(cfg SourceConfig, in sourceParts, env discovery.Env) (discovery.Source, error) {
			if in.DHT == nil {
				return nil, errors.New("it asks the service dht: set services.dht.enabled = true")
			}
			return NewSource(cfg, in.DHT, env)
		})
}

// source looks for peers in a DHT.
type source struct {
	cfg SourceConfig
	dht *DHT
	env discovery.Env
}

// NewSource builds a source of peers that looks for random keys in a DHT, and reports the peers that others name on the
// way.
func NewSource(cfg SourceConfig, d *DHT, env discovery.Env) (discovery.Source, error) {
	return &source{cfg, d, env}, cfg.Validate()
}

// emptyPause is how long the source waits for the first peer in the table.
const emptyPause = time.Second

// Run implements discovery.Source.
func (s *source) Run(ctx context.Context, n discovery.Network,
	found func(transport.Address, transport.NodeID)) error {
	lib, err := s.dht.Library(ctx)
	if err != nil {
		return stopped(err, ctx)
	}
	for {
		pause := s.cfg.Every
		switch {
		case lib.RoutingTable().Size() == 0:
			pause = min(pause, emptyPause)
		case n.NeedsPeers():
			if err := s.look(ctx, found); err != nil && ctx.Err() == nil {
				if errors.Is(err, host.ErrStopped) {
					return nil
				}
				s.env.Log().Warn("a lookup in the DHT failed", slog.Any("error", err))
			}
		}
		if !discovery.Pause(ctx, pause) {
			return nil
		}
	}
}

// stopped returns nil for the end of ctx or of the service.
func stopped(err error, ctx context.Context) error {
	if ctx.Err() != nil || errors.Is(err, host.ErrStopped) {
		return nil
	}
	return err
}

// look looks for a random key, and reports whom the peers on the way name.
func (s *source) look(ctx context.Context, found func(transport.Address, transport.NodeID)) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	told, events := routing.RegisterForQueryEvents(ctx)
	ended := make(chan error, 1)
	go func() {
		defer cancel() // which closes events
		ended <- s.dht.lookup(told, "random", func(ctx context.Context, lib *dht.IpfsDHT) error {
			_, err := lib.GetClosestPeers(ctx, string(key))
			return err
		})
	}()
	seen := map[peer.ID]bool{s.dht.host.ID(): true}
	reported, left := 0, 0
	for e := range events {
		if e.Type != routing.PeerResponse {
			continue
		}
		from, err := transport.ParseNodeID(e.ID.String())
		if err != nil {
			continue
		}
		for _, p := range e.Responses {
			switch {
			case p == nil || seen[p.ID]:
			case reported == s.cfg.MaxPeers:
				left++
			default:
				seen[p.ID] = true
				addrs := s.addresses(p)
				if len(addrs) > 0 {
					reported++
				}
				for _, a := range addrs {
					found(a, from)
				}
			}
		}
	}
	err := <-ended
	s.env.Log().Debug("looked for peers", slog.Int("found", reported), slog.Int("left_out", left),
		slog.Any("error", err))
	return err
}

// addresses returns the addresses of a peer that the node can dial.
func (s *source) addresses(p *peer.AddrInfo) []transport.Address {
	var list []transport.Address
	for _, m := range p.Addrs[:min(len(p.Addrs), s.cfg.MaxAddresses)] {
		if a, err := transport.NewAddress(m, p.ID.String()); err == nil {
			list = append(list, a)
		}
	}
	return s.env.Usable(list)
}
