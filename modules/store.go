package modules

import (
	"fmt"
	"log/slog"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
)

// Store is the module of the peer store: on disk where store.path names a folder, else in memory. It provides peerstore.Store, which stops last.
func Store(c Config) fx.Option {
	return fx.Module("store",
		fx.Provide(func(s supervisor) (peerstore.Store, error) {
			st, err := openStore(&c, s.Log.For("store"))
			if err != nil {
				return nil, fmt.Errorf("store: %w", err)
			}
			s.add(task{name: "store", run: st.Run, close: st.Close})
			return st, nil
		}),
	)
}

func openStore(c *Config, log *slog.Logger) (peerstore.Store, error) {
	limits := peerstore.Limits{MaxPeers: c.Peers.MaxKnown}
	return memory.New(limits), nil
}
