// Package services has services for the configuration of a Switchyard node that are made of go-libp2p's libraries:
//
//   - pubsub spreads messages by topic with gossipsub: [services.pubsub], the commands below pubsub, and the routes
//     below /v1/services/pubsub/.
//   - dht is a Kademlia table: [services.dht], the commands below dht, and the routes below /v1/services/dht/. It finds
//     peers by id, who has what, and values. [[discovery]] with use = "dht" looks for peers in it.
//
// A main lists them beside the stock plug-ins; cmd/switchyard-libp2p is one:
//
//	cli.Main(modules.With(standard.Plugins(), services.Plugins()...)...)
//
// A program has them by their type: fx.Populate of a *PubSub or a *DHT. Without fx, NewPubSub and NewDHT make them of a
// go-libp2p host, such as golibp2p.New returns. All share one such host (Adapter).
package services

import (
	"context"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// Plugins returns what a main adds to its list: the adapter, both services, the source of peers, and the commands.
func Plugins() []modules.Plugin {
	return []modules.Plugin{Adapter(), pubsubPlugin(), dhtPlugin(), sourcePlugin(), modules.Command(pubsubCommand()),
		modules.Command(dhtCommand())}
}

// Adapter lists the go-libp2p host of a node. It is made if a plug-in of the node asks for it: the graph of the node
// has it as a host.Host of go-libp2p. It signs through the node's identity.
func Adapter() modules.Plugin {
	return modules.Extend("golibp2p", func(modules.Config) fx.Option {
		var made corehost.Host
		return fx.Options(
			fx.ErrorHook(unbuilt(func() { // made while the graph is built: no lifecycle hook closes it then
				if made != nil {
					_ = made.Close()
				}
			})),
			fx.Provide(func(lc fx.Lifecycle, h *host.Host, id handshake.Identity) (corehost.Host, error) {
				a, err := golibp2p.New(h, golibp2p.Identity(id))
				if err != nil {
					return nil, err
				}
				made = a
				lc.Append(fx.StopHook(a.Close))
				return a, nil
			}),
		)
	})
}

// unbuilt is an fx.ErrorHandler: it runs if the app cannot be built.
type unbuilt func()

// HandleError implements fx.ErrorHandler.
func (u unbuilt) HandleError(error) { u() }

// life is the state of a service that is made when it runs: T is nil before, and gone after.
type life[T any] struct {
	begun chan struct{} // closed when lib is there
	ended chan struct{} // closed when Run is about to return
	lib   T             // set before begun is closed
}

func newLife[T any]() life[T] { return life[T]{begun: make(chan struct{}), ended: make(chan struct{})} }

// get waits until the service runs. Its error is host.ErrStopped, or ctx's.
func (l *life[T]) get(ctx context.Context) (lib T, err error) {
	select {
	case <-l.begun:
	case <-l.ended:
		return lib, host.ErrStopped
	case <-ctx.Done():
		return lib, ctx.Err()
	}
	select {
	case <-l.ended:
		return lib, host.ErrStopped
	default:
		return l.lib, nil
	}
}

// begin says that the service runs.
func (l *life[T]) begin(lib T) {
	l.lib = lib
	close(l.begun)
}
