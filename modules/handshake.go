package modules

import (
	"errors"
	"io/fs"
	"log/slog"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Handshake is the module of the node's identity and of the wires that [stack] names. It provides handshake.Identity and []handshake.Wire in the
// configuration's order. Supply another handshake.Identity with fx.Decorate.
func Handshake(c Config, plugins ...Plugin) fx.Option {
	return fx.Module("handshake",
		fx.Provide(func(log logger) (handshake.Identity, error) {
			return loadIdentity(&c, log.For("identity"))
		}),
		chosen(&c, "stack.wires", kindWire, c.Stack.Wires, c.Wires, "wires", plugins),
		fx.Provide(func(in struct {
			fx.In
			All []named[handshake.Wire] `group:"wires"`
		}) []handshake.Wire {
			return inOrder(in.All)
		}),
	)
}

// loadIdentity reads the node key, or makes one where there is none.
func loadIdentity(c *Config, log *slog.Logger) (handshake.Identity, error) {
	path := c.Path(c.Identity.Key)
	key, err := handshake.LoadNodeKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = handshake.GenerateNodeKey(); err == nil {
			if err = handshake.SaveNodeKey(path, key); err == nil {
				log.Info("made a new node key", slog.String("file", path), slog.String("node_id", string(key.ID())))
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if w := key.Warning(); w != nil {
		log.Warn(w.Error())
	}
	return key, nil
}
