package modules

import (
	"fmt"
	"log/slog"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
)

// Store is the module of the peer store: on disk where store.path names a folder, else in memory. It provides peerstore.Store, which stops last.
func Store(c Config) fx.Option {
	var opened peerstore.Store
	return fx.Options(
		// The store has to be open before the rest can be built. Where that fails, nothing ever starts, and so nothing would close it.
		fx.ErrorHook(closer(func() {
			if opened != nil {
				_ = opened.Close()
			}
		})),
		fx.Module("store",
			fx.Provide(func(s supervisor) (peerstore.Store, error) {
				st, err := openStore(&c, s.Log.For("store"))
				if err != nil {
					return nil, fmt.Errorf("store: %w", err)
				}
				opened = st
				s.add(task{name: "store", run: st.Run, close: st.Close})
				return st, nil
			}),
		),
	)
}

func openStore(c *Config, log *slog.Logger) (peerstore.Store, error) {
	limits := peerstore.Limits{MaxPeers: c.Peers.MaxKnown}
	if c.Store.Path == "" {
		return memory.New(limits), nil
	}
	return badger.Open(c.Path(c.Store.Path), badger.Options{Limits: limits, Logger: log})
}

// closer is an fx.ErrorHandler: it runs when the app could not be built.
type closer func()

// HandleError implements fx.ErrorHandler.
func (c closer) HandleError(error) { c() }
