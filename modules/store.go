package modules

import (
	"fmt"
	"log/slog"
	"os"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
)

// Store is the module of the peer store: on disk if store.path names a folder, else in memory. It provides
// peerstore.Store, which stops last.
func Store(c Config) fx.Option {
	var opened peerstore.Store
	return fx.Options(
		// The store opens while the graph is built. If that fails later, no lifecycle hook closes it.
		fx.ErrorHook(closer(func() {
			if opened != nil {
				_ = opened.Close()
			}
		})),
		fx.Module("store",
			fx.Provide(func(s supervisor) (peerstore.Store, error) {
				st, err := OpenStore(&c, s.Log.For("store"))
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

// OpenStore opens the peer store of a configuration, for programs that only look at it: a running node has it open. The
// caller runs and closes it.
func OpenStore(c *Config, log *slog.Logger) (peerstore.Store, error) {
	groups, err := openGroups(c)
	if err != nil {
		return nil, err
	}
	limits := peerstore.Limits{MaxPeers: c.Peers.MaxKnown, Groups: groups}
	if c.Store.Path == "" {
		return memory.New(limits), nil
	}
	return badger.Open(c.Path(c.Store.Path), badger.Options{Limits: limits, Logger: log})
}

// openGroups reads the map of autonomous systems, if there is one.
func openGroups(c *Config) (*peerstore.Groups, error) {
	if c.Peers.ASMap == "" {
		return nil, nil
	}
	f, err := os.Open(c.Path(c.Peers.ASMap))
	if err != nil {
		return nil, c.errorAt("peers.as_map", "%v", err)
	}
	defer f.Close()
	groups, err := peerstore.ReadGroups(f)
	if err != nil {
		return nil, c.errorAt("peers.as_map", "%s: %v", f.Name(), err)
	}
	return groups, nil
}

// closer is an fx.ErrorHandler: it runs if the app cannot be built.
type closer func()

// HandleError implements fx.ErrorHandler.
func (c closer) HandleError(error) { c() }
