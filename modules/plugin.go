package modules

import (
	"context"
	"fmt"
	"log/slog"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// kind is what a plug-in is.
type kind string

const (
	kindTransport kind = "transport"
	kindWire      kind = "wire"
	kindSecurity  kind = "security"
	kindMuxer     kind = "muxer"
	kindDiscovery kind = "discovery source"
	kindService   kind = "service"
)

// Plugin is an entry of the catalogue: a name that a configuration may use, with the constructors behind it. A main lists its plug-ins and gives the
// list to Load and Node; nothing registers itself.
type Plugin struct {
	kind kind
	name string
	on   bool // a service that runs unless the configuration says otherwise
	// check decodes the plug-in's own keys, to refuse wrong ones. at is the key of their table.
	check func(c *Config, at string, t Table) error
	// option provides the instance to the value group of its kind. order is its place among its kind.
	option func(c *Config, at string, t Table, order int) fx.Option
}

// Name is the name that a configuration uses.
func (p Plugin) Name() string { return p.name }

// OnByDefault is p, a service, that runs unless its table says enabled = false.
func (p Plugin) OnByDefault() Plugin {
	p.on = true
	return p
}

// Runner is what a service is, once built: Run works until ctx ends and returns after all its goroutines have. An error other than ctx's shuts the
// node down.
type Runner interface {
	Run(ctx context.Context) error
}

// Transport is a transport of the catalogue, such as Transport("tcp", tcp.Default, tcp.New). Its own keys stand in [transports.NAME].
func Transport[C any, T transport.Transport](name string, defaults func() C, build func(C) (T, error)) Plugin {
	return plugin(kindTransport, name, defaults, nil, func(cfg C, order int) fx.Option {
		return provide("transports", func() (named[transport.Transport], error) {
			t, err := build(cfg)
			return named[transport.Transport]{name, order, t}, wrap(kindTransport, name, err)
		})
	})
}

// Wire is a wire of the catalogue. It gets the node's identity, with which its security proves who we are. Its own keys stand in [wires.NAME].
func Wire[C any, W handshake.Wire](name string, defaults func() C, build func(C, handshake.Identity, *slog.Logger) (W, error)) Plugin {
	return plugin(kindWire, name, defaults, nil, func(cfg C, order int) fx.Option {
		return provide("wires", func(id handshake.Identity, log logger) (named[handshake.Wire], error) {
			w, err := build(cfg, id, log.For(name))
			return named[handshake.Wire]{name, order, w}, wrap(kindWire, name, err)
		})
	})
}

// Discovery is a source of peers of the catalogue, such as Discovery("pex", pex.Default, pex.New). Each [[discovery]] table with use = NAME makes one.
func Discovery[C any](name string, defaults func() C, build func(C, discovery.Env) (discovery.Source, error)) Plugin {
	return plugin(kindDiscovery, name, defaults, []string{"use"}, func(cfg C, order int) fx.Option {
		return provide("sources", func(h *host.Host, home home, log logger) (named[discovery.Source], error) {
			s, err := build(cfg, discovery.Env{Logger: log.For(name), OpenChannel: h.OpenChannel, Home: string(home)})
			return named[discovery.Source]{name, order, s}, wrap(kindDiscovery, name, err)
		})
	})
}

// Service is a service of the catalogue, such as Service("echo", echo.Default, echo.New). Its own keys stand in [services.NAME], beside enabled = true.
// build opens the service's channels at the host, which works until the host runs.
func Service[C any, S Runner](name string, defaults func() C, build func(C, *host.Host, *slog.Logger) (S, error)) Plugin {
	return plugin(kindService, name, defaults, []string{"enabled"}, func(cfg C, order int) fx.Option {
		return provide("services", func(h *host.Host, log logger) (named[Runner], error) {
			s, err := build(cfg, h, log.For(name))
			return named[Runner]{name, order, s}, wrap(kindService, name, err)
		})
	})
}

// plugin makes a catalogue entry around option, which gets the plug-in's decoded settings. Settings with a method Validate() error are asked.
func plugin[C any](k kind, name string, defaults func() C, reserved []string, option func(cfg C, order int) fx.Option) Plugin {
	settings := func(c *Config, at string, t Table) (C, error) {
		cfg := defaults()
		err := decodeTable(c, at, t, &cfg, reserved...)
		if v, ok := any(cfg).(interface{ Validate() error }); ok && err == nil {
			if why := v.Validate(); why != nil {
				err = c.errorAt(at, "%s", oneLine(why.Error()))
			}
		}
		return cfg, err
	}
	return Plugin{
		kind: k, name: name,
		check: func(c *Config, at string, t Table) error {
			_, err := settings(c, at, t)
			return err
		},
		option: func(c *Config, at string, t Table, order int) fx.Option {
			cfg, err := settings(c, at, t)
			if err != nil {
				return fx.Error(err)
			}
			return option(cfg, order)
		},
	}
}

// named is an instance in a value group, with the place that the configuration gives it: fx hands groups over in no order.
type named[T any] struct {
	name  string
	order int
	value T
}

// provide adds what constructor builds to a value group.
func provide(group string, constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"`+group+`"`)))
}

func wrap(k kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", k, name, err)
}

func find(plugins []Plugin, k kind, name string) (Plugin, bool) {
	for _, p := range plugins {
		if p.kind == k && p.name == name {
			return p, true
		}
	}
	return Plugin{}, false
}

func namesOf(plugins []Plugin, k kind) []string {
	var names []string
	for _, p := range plugins {
		if p.kind == k {
			names = append(names, p.name)
		}
	}
	return names
}

// checkCatalogue refuses a catalogue that lists a name twice.
func checkCatalogue(plugins []Plugin) error {
	for i, p := range plugins {
		if p.check == nil || p.option == nil {
			return fmt.Errorf("modules: plug-in %d of the catalogue is the zero Plugin", i)
		}
		if _, again := find(plugins[:i], p.kind, p.name); again {
			return fmt.Errorf("modules: the catalogue lists the %s %q twice", p.kind, p.name)
		}
	}
	return nil
}
