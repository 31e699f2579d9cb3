package modules

import (
	"go.uber.org/fx"
)

// Node is a whole node: the modules of all features, for one configuration and one catalogue. Supply a *slog.Logger
// (fx.Supply) to see its log. A configuration that cannot work fails the app with a *ConfigError before anything is
// built.
//
// The graph has, for code that adds to it: Config, *Failure, handshake.Identity, peerstore.Store, *host.Host,
// *prometheus.Registry, *Reloader.
func Node(cfg Config, plugins ...Plugin) fx.Option {
	if err := checkCatalogue(plugins); err != nil {
		return fx.Error(err)
	}
	cfg = cfg.Clone()
	given := cfg
	cfg = cfg.Fit(plugins...)
	if err := cfg.Validate(plugins...); err != nil {
		return fx.Error(err)
	}
	extensions := make([]fx.Option, 0)
	for _, p := range plugins {
		if p.kind == kindExtension {
			extensions = append(extensions, p.option(&cfg, "", nil, 0))
		}
	}
	return fx.Options(
		Base(cfg),
		fx.Invoke(func(log logger) { logUnused(log.For("config"), &given, &cfg) }),
		Transports(cfg, plugins...),
		Handshake(cfg, plugins...),
		Store(cfg),
		Metrics(cfg),
		Host(cfg),
		Reload(cfg, plugins...),
		Sources(cfg, plugins...),
		Services(cfg, plugins...),
		Admin(cfg),
		fx.Options(extensions...),
	)
}
