package modules

import (
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Handshake is the module of the node's identity, and of the wires, securities and muxers of [stack]. It provides
// handshake.Identity and, in the configuration's order, []handshake.Wire, []handshake.Security and []muxer.StreamMuxer.
// Replace the identity with fx.Decorate.
func Handshake(c Config, plugins ...Plugin) fx.Option {
	c = c.Fit(plugins...)
	return fx.Module("handshake",
		identity(&c, plugins),
		chosen(&c, "stack.wires", kindWire, c.Stack.Wires, c.Wires, "wires", plugins),
		fx.Provide(group[handshake.Wire]("wires")),
		chosen(&c, "stack.muxers", kindMuxer, c.Stack.Muxers, c.Muxers, "muxers", plugins),
		fx.Provide(group[muxer.StreamMuxer]("muxers")),
		allSecurities(&c, plugins),
		fx.Provide(func(all securities) ([]handshake.Security, error) {
			list := make([]handshake.Security, 0, len(c.Stack.Security))
			for _, name := range c.Stack.Security {
				s, err := all.get(name)
				if err != nil {
					return nil, err
				}
				list = append(list, s)
			}
			return list, nil
		}),
	)
}

// securities has the node's instance of each security of the catalogue, made at its first use.
type securities map[string]func() (handshake.Security, error)

func (s securities) get(name string) (handshake.Security, error) {
	make, ok := s[name]
	if !ok {
		return nil, missing(kindSecurity, name, sortedKeys(s))
	}
	return make()
}

// allSecurities provides the securities of the whole catalogue: a transport may use one that [stack] does not name.
func allSecurities(c *Config, plugins []Plugin) fx.Option {
	var options []fx.Option
	for _, p := range plugins {
		if p.kind == kindSecurity {
			options = append(options, p.option(c, join("security", p.name), c.Security[p.name], len(options)))
		}
	}
	return fx.Options(append(options, fx.Provide(func(in struct {
		fx.In
		All []named[func() (handshake.Security, error)] `group:"securities"`
	}) securities {
		all := make(securities, len(in.All))
		for _, n := range in.All {
			all[n.name] = n.value
		}
		return all
	}))...)
}
