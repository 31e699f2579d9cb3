package modules

import (
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// CheckNode refuses a configuration with which a node of this key would not start, as far as that shows without
// starting it: it builds the stack, which must serve all addresses of the configuration, and reads the files that the
// configuration names. No port is opened, and nothing is written.
func CheckNode(cfg Config, id handshake.Identity, plugins ...Plugin) error {
	cfg = cfg.Fit(plugins...)
	if err := cfg.Validate(plugins...); err != nil {
		return err
	}
	host, err := hostConfig(&cfg, ThisMachine())
	if err != nil {
		return err
	}
	if _, err := openGroups(&cfg); err != nil {
		return err
	}
	bare := cfg
	bare.Home = "" // Base makes it
	app := fx.New(Base(bare), Transports(cfg, plugins...), Handshake(cfg, plugins...),
		fx.Decorate(func() handshake.Identity { return id }),
		fx.Invoke(func(transports []transport.Transport, wires []handshake.Wire) error {
			defer func() {
				for _, t := range transports {
					_ = t.Close()
				}
			}()
			if err := cfg.canListen(host.Listen, transports); err != nil {
				return err
			}
			return cfg.canDial(transports, wires)
		}))
	return app.Err()
}
