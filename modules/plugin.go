package modules

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// kind is the kind of a plug-in.
type kind string

const (
	kindTransport kind = "transport"
	kindWire      kind = "wire"
	kindSecurity  kind = "security"
	kindMuxer     kind = "muxer"
	kindDiscovery kind = "discovery source"
	kindService   kind = "service"
	kindCommand   kind = "command"
	kindExtension kind = "extension"
	kindSigner    kind = "signer"
)

// Plugin is an entry of a catalogue: a name that the configuration can use, and the constructors behind it. A main
// lists its plug-ins and passes the list to Load and Node; nothing registers itself.
type Plugin struct {
	kind kind
	name string
	on   bool // a service that is enabled by default
	// secures marks a transport whose connections are already secured and muxed (QUIC). streams marks a wire that
	// accepts those, and chooses among securities and muxers for the others (libp2p). absent marks a service that this
	// build lacks.
	secures, streams, absent bool
	// check decodes the plug-in's own keys and refuses wrong ones. at is the key of their table.
	check func(c *Config, at string, t Table) error
	// defaults returns the plug-in's Config with its defaults; nil for one without settings.
	defaults func() any
	// command is set for a command, signer for a signer.
	command CommandSpec
	signer  func(SignerEnv) (SignerConn, error)
	// option provides the instance to the value group of its kind. order is its position in the configuration.
	option func(c *Config, at string, t Table, order int) fx.Option
}

// Name returns the name that the configuration uses.
func (p Plugin) Name() string { return p.name }

// OnByDefault returns p, a service, enabled unless its table says enabled = false.
func (p Plugin) OnByDefault() Plugin {
	p.on = true
	return p
}

// Runner is a service. Run works until ctx ends, and returns after all its goroutines have. An error other than ctx's
// shuts the node down.
type Runner interface {
	Run(ctx context.Context) error
}

// Transport lists a transport, such as Transport("tcp", tcp.Default, tcp.New). Its settings are [transports.NAME].
func Transport[C any, T transport.Transport](name string, defaults func() C, build func(C) (T, error)) Plugin {
	return plugin(kindTransport, name, defaults, nil, func(c *Config, cfg C, order int) fx.Option {
		return provide("transports", func(log logger) (named[transport.Transport], error) {
			t, err := construct(kindTransport, name, log, func() (T, error) { return build(cfg) })
			return named[transport.Transport]{name, order, t}, err
		})
	})
}

// TransportEnv is what a SecureTransport gets from its node.
type TransportEnv struct {
	Identity handshake.Identity
	// Security returns the node's instance of a security of the catalogue, even if [stack] does not name it. Call it in
	// the constructor.
	Security func(name string) (handshake.Security, error)
	// MessageMemory is limits.message_memory, of which the default of what remotes may make the transport hold is a
	// part.
	MessageMemory int64
	Home          string // the node's folder; "" if it has none
	Logger        *slog.Logger
}

// SecureTransport lists a transport whose connections are already secured and muxed, such as QUIC. Its settings are
// [transports.NAME].
func SecureTransport[C any, T transport.Transport](name string, defaults func() C,
	build func(C, TransportEnv) (T, error)) Plugin {
	p := plugin(kindTransport, name, defaults, nil, func(c *Config, cfg C, order int) fx.Option {
		return provide("transports",
			func(id handshake.Identity, all securities, log logger) (named[transport.Transport], error) {
				t, err := construct(kindTransport, name, log, func() (T, error) {
					return build(cfg, TransportEnv{Identity: id, Security: all.get, MessageMemory: c.messageMemory(),
						Home: c.Home, Logger: log.For(name)})
				})
				return named[transport.Transport]{name, order, t}, err
			})
	})
	p.secures = true
	return p
}

// WireEnv is what a wire gets from its node.
type WireEnv struct {
	Identity   handshake.Identity
	Securities []handshake.Security // of a StreamWire: those of stack.security, in that order
	Muxers     []muxer.StreamMuxer  // of a StreamWire: those of stack.muxers, in that order
	// MessageMemory is limits.message_memory, of which the default of what unfinished messages may hold is a part.
	MessageMemory int64
	Logger        *slog.Logger
}

// Wire lists a wire. Its security proves the node's identity, which build gets. Its settings are [wires.NAME].
func Wire[C any, W handshake.Wire](name string, defaults func() C, build func(C, WireEnv) (W, error)) Plugin {
	return plugin(kindWire, name, defaults, nil, func(c *Config, cfg C, order int) fx.Option {
		return provide("wires", func(id handshake.Identity, log logger) (named[handshake.Wire], error) {
			w, err := construct(kindWire, name, log, func() (W, error) {
				return build(cfg, WireEnv{Identity: id, MessageMemory: c.messageMemory(), Logger: log.For(name)})
			})
			return named[handshake.Wire]{name, order, w}, err
		})
	})
}

// StreamWire lists a wire that is built from the securities and muxers of [stack], and that accepts the connections of
// a SecureTransport (handshake.SecuredConn). Its settings are [wires.NAME].
func StreamWire[C any, W handshake.Wire](name string, defaults func() C, build func(C, WireEnv) (W, error)) Plugin {
	p := plugin(kindWire, name, defaults, nil, func(c *Config, cfg C, order int) fx.Option {
		return provide("wires", func(id handshake.Identity, secure []handshake.Security, mux []muxer.StreamMuxer,
			log logger) (named[handshake.Wire], error) {
			w, err := construct(kindWire, name, log, func() (W, error) {
				return build(cfg, WireEnv{Identity: id, Securities: secure, Muxers: mux,
					MessageMemory: c.messageMemory(), Logger: log.For(name)})
			})
			return named[handshake.Wire]{name, order, w}, err
		})
	})
	p.streams = true
	return p
}

// Security lists a security. All parts of a node share one instance, whose proofs the node keeps fresh while it runs.
// Its settings are [security.NAME].
func Security[C any, S handshake.Security](name string, defaults func() C, build func(C) (S, error)) Plugin {
	return plugin(kindSecurity, name, defaults, nil, func(c *Config, cfg C, order int) fx.Option {
		return provide("securities", func(s supervisor, id handshake.Identity,
			log logger) named[func() (handshake.Security, error)] {
			once := sync.OnceValues(func() (handshake.Security, error) {
				built, err := construct(kindSecurity, name, log,
					func() (handshake.Security, error) { return build(cfg) })
				if err == nil {
					s.add(task{name: "proofs of " + name, run: func(ctx context.Context) error {
						built.Keep(ctx, id)
						return nil
					}})
				}
				return built, err
			})
			return named[func() (handshake.Security, error)]{name, order, once}
		})
	})
}

// MuxerEnv is what a stream muxer gets from its node.
type MuxerEnv struct {
	// MessageMemory is limits.message_memory, of which the default of what remotes may make the muxer hold is a part.
	MessageMemory int64
	Logger        *slog.Logger
}

// Muxer lists a stream muxer. Its settings are [muxers.NAME].
func Muxer[C any, M muxer.StreamMuxer](name string, defaults func() C, build func(C, MuxerEnv) (M, error)) Plugin {
	return plugin(kindMuxer, name, defaults, nil, func(c *Config, cfg C, order int) fx.Option {
		return provide("muxers", func(log logger) (named[muxer.StreamMuxer], error) {
			m, err := construct(kindMuxer, name, log, func() (M, error) {
				return build(cfg, MuxerEnv{MessageMemory: c.messageMemory(), Logger: log.For(name)})
			})
			return named[muxer.StreamMuxer]{name, order, m}, err
		})
	})
}

// Discovery lists a peer source, such as Discovery("pex", pex.Default, pex.New). Each [[discovery]] table with use =
// NAME makes one.
func Discovery[C any](name string, defaults func() C, build func(C, discovery.Env) (discovery.Source, error)) Plugin {
	return plugin(kindDiscovery, name, defaults, []string{"use"}, func(c *Config, cfg C, order int) fx.Option {
		return provide("sources", func(h *host.Host, at home, log logger) (named[discovery.Source], error) {
			s, err := construct(kindDiscovery, name, log, func() (discovery.Source, error) {
				return build(cfg, sourceEnv(name, h, at, log))
			})
			return named[discovery.Source]{name, order, s}, err
		})
	})
}

// Service lists a service, such as Service("echo", echo.Default, echo.New). Its settings are [services.NAME], beside
// enabled = true. build opens the service's channels, which works only before the host runs. WithRoutes, WithMetrics
// and WithRelay are the extras.
func Service[C any, S Runner](name string, defaults func() C, build func(C, *host.Host, *slog.Logger) (S, error),
	extras ...Extra[S]) Plugin {
	return HomeService(name, defaults,
		func(cfg C, h *host.Host, _ string, log *slog.Logger) (S, error) { return build(cfg, h, log) }, extras...)
}

// HomeService is Service for one that keeps files: build gets the node's home, too.
func HomeService[C any, S Runner](name string, defaults func() C,
	build func(cfg C, h *host.Host, home string, log *slog.Logger) (S, error), extras ...Extra[S]) Plugin {
	return plugin(kindService, name, defaults, []string{"enabled"}, func(c *Config, cfg C, order int) fx.Option {
		return provide("services", func(h *host.Host, at home, log logger) (named[builtService], error) {
			var built builtService
			_, err := construct(kindService, name, log, func() (S, error) {
				s, err := build(cfg, h, string(at), log.For(name))
				if err != nil || isNil(s) {
					return s, err
				}
				built = extend(s, extras)
				return s, nil
			})
			return named[builtService]{name, order, built}, err
		})
	})
}

// Extra is what a service of type S adds to its node: see WithRoutes, WithMetrics and WithRelay.
type Extra[S Runner] func(*builtService, S)

// builtService is a service and its extras.
type builtService struct {
	Runner
	routes  http.Handler
	metrics []prometheus.Collector
	relay   admin.Relay
}

// WithRoutes serves a service's handler in the admin API below /v1/services/NAME/. The handler sees the rest of the
// path, such as /greetings. The API checks the requests first and bounds their bodies.
func WithRoutes[S Runner](handler func(S) http.Handler) Extra[S] {
	return func(built *builtService, s S) { built.routes = handler(s) }
}

// WithMetrics registers a service's collectors with the node's metrics. A name that is taken stops the start.
func WithMetrics[S Runner](collectors func(S) []prometheus.Collector) Extra[S] {
	return func(built *builtService, s S) { built.metrics = collectors(s) }
}

// WithRelay makes a service the relay of the admin API (/v1/relay). A node has at most one.
func WithRelay[S Runner](api func(S) admin.Relay) Extra[S] {
	return func(built *builtService, s S) { built.relay = api(s) }
}

// AbsentService names a service that other builds have and this one lacks, so that one configuration serves all builds.
// [services.NAME] is accepted with any keys; unless it is turned off, the log warns that it does nothing.
func AbsentService(name string) Plugin {
	return Plugin{
		kind: kindService, name: name, absent: true,
		check: func(*Config, string, Table) error { return nil },
		option: func(c *Config, at string, _ Table, _ int) fx.Option {
			where := c.errorAt(at, "this build has no such service, so it does not run").Error()
			return fx.Invoke(func(log logger) { log.For(name).Warn(where) })
		},
	}
}

// plugin makes a catalogue entry around option, which gets the decoded settings. Settings with a method Validate()
// error are checked.
func plugin[C any](k kind, name string, defaults func() C, reserved []string,
	option func(c *Config, cfg C, order int) fx.Option) Plugin {
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
		kind: k, name: name, defaults: func() any { return defaults() },
		check: func(c *Config, at string, t Table) error {
			_, err := settings(c, at, t)
			return err
		},
		option: func(c *Config, at string, t Table, order int) fx.Option {
			cfg, err := settings(c, at, t)
			if err != nil {
				return fx.Error(err)
			}
			return option(c, cfg, order)
		},
	}
}

// named is an instance in a value group, with its position in the configuration: fx does not keep an order.
type named[T any] struct {
	name  string
	order int
	value T
}

// provide adds the result of constructor to a value group.
func provide(group string, constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"`+group+`"`)))
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
