package modules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A source that failed rests before it runs again, longer each time.
const (
	sourceRestMin = time.Second
	sourceRestMax = time.Minute
	// sourceSettled is how long a source must have run for its failure not to be a failure to start.
	sourceSettled = time.Second
)

// Sources is the module of the sources of peers: those of the [[discovery]] tables, and the bootstrap addresses. It wants a *host.Host.
func Sources(c Config, plugins ...Plugin) fx.Option {
	var options []fx.Option
	for i := range c.Discovery {
		p, err := c.source(plugins, i)
		if err != nil {
			return fx.Error(err)
		}
		options = append(options, p.option(&c, join("discovery", strconv.Itoa(i)), c.Discovery[i], i))
	}
	return fx.Module("discovery",
		fx.Options(options...),
		fx.Invoke(func(s supervisor, h *host.Host, in struct {
			fx.In
			All []named[discovery.Source] `group:"sources"`
		}) error {
			if err := bootstrap(&c, h); err != nil {
				return err
			}
			inOrder(in.All)
			for _, n := range in.All {
				s.add(task{name: n.name, run: func(ctx context.Context) error {
					return keepRunning(ctx, n.name, n.value, h, s.Log.For(n.name))
				}})
			}
			return nil
		}),
	)
}

// bootstrap tells the host of the first addresses to try.
func bootstrap(c *Config, h *host.Host) error {
	for _, text := range c.Peers.Bootstrap {
		a, err := transport.ParseAddress(text)
		if err != nil {
			return c.errorAt("peers.bootstrap", "%v", err)
		}
		h.PeerManager().Add(a, peerstore.Source{Kind: "config"})
	}
	return nil
}

// keepRunning runs a source until ctx ends. An error at its start is returned, and so ends the node; a later one is logged, and the source runs again
// after a rest. A source that ends without an error is done.
func keepRunning(ctx context.Context, name string, s discovery.Source, h *host.Host, log *slog.Logger) error {
	found := func(a transport.Address, from transport.NodeID) {
		h.PeerManager().Add(a, peerstore.Source{Kind: name, From: from})
	}
	began, rest := time.Now(), sourceRestMin
	for {
		began1 := time.Now()
		err := s.Run(ctx, h, found)
		switch {
		case ctx.Err() != nil, err == nil, errors.Is(err, host.ErrStopped):
			return nil
		case time.Since(began) < sourceSettled:
			return fmt.Errorf("discovery source: %w", err)
		case time.Since(began1) > sourceRestMax:
			rest = sourceRestMin // it had recovered
		}
		log.Warn("the source failed; it runs again after a rest", slog.Any("error", err), slog.Duration("rest", rest))
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		rest = min(2*rest, sourceRestMax)
	}
}
