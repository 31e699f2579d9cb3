package modules

import (
	"context"
	"strconv"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Sources is the module of the peer sources: those of the [[discovery]] tables, and the bootstrap addresses. It needs a
// *host.Host.
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
					return discovery.Run(ctx, n.name, n.value, h, s.Log.For(n.name))
				}})
			}
			return nil
		}),
	)
}

// bootstrap adds the bootstrap addresses to the host.
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
