package modules

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
)

// ServiceFrom is Service for one that is built from P, of the graph of its node: a type that an Extend provides, so
// that several plug-ins share one value, or a struct with fx.In that names several. The graph has what Node lists.
//
// The service itself is in the graph, too, as an S: for other plug-ins, and for a program that calls it (fx.Populate,
// fx.Invoke). It is not there if the configuration turns it off, so ask for it in a struct with fx.In whose field is
// optional. A catalogue has at most one service of a type S.
func ServiceFrom[C, P any, S Runner](name string, defaults func() C, build func(C, P, *slog.Logger) (S, error),
	extras ...Extra[S]) Plugin {
	return plugin(kindService, name, defaults, []string{"enabled"}, func(_ *Config, cfg C, order int) fx.Option {
		return fx.Options(
			fx.Provide(func(parts P, log logger) (S, error) {
				return construct(kindService, name, log, func() (S, error) { return build(cfg, parts, log.For(name)) })
			}),
			provide("services", func(s S) named[builtService] {
				return named[builtService]{name, order, extend(s, extras)}
			}))
	})
}

// extend returns a service with its extras.
func extend[S Runner](s S, extras []Extra[S]) builtService {
	built := builtService{Runner: s}
	for _, extra := range extras {
		extra(&built, s)
	}
	return built
}

// DiscoveryFrom is Discovery for a source that is built from P, of the graph of its node, as for ServiceFrom. A source
// that asks a service waits in its Run until that runs, and ends when it ends: sources start before services, and stop
// after them.
func DiscoveryFrom[C, P any](name string, defaults func() C,
	build func(C, P, discovery.Env) (discovery.Source, error)) Plugin {
	return plugin(kindDiscovery, name, defaults, []string{"use"}, func(_ *Config, cfg C, order int) fx.Option {
		return provide("sources", func(parts P, h *host.Host, at home, log logger) (named[discovery.Source], error) {
			s, err := construct(kindDiscovery, name, log, func() (discovery.Source, error) {
				return build(cfg, parts, sourceEnv(name, h, at, log))
			})
			return named[discovery.Source]{name, order, s}, err
		})
	})
}

// sourceEnv is what a source gets of its node.
func sourceEnv(name string, h *host.Host, at home, log logger) discovery.Env {
	return discovery.Env{Logger: log.For(name), OpenChannel: h.OpenChannel, CheckAddress: h.CheckAddress,
		Home: string(at)}
}
