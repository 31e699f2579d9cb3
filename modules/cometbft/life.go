package cometbft

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/transport"
)

// nodeLife starts and stops a node in place of the node itself.
type nodeLife struct {
	*node.Node
	yard *yard
	err  error // why the node cannot be changed
}

// OnStart implements service.Service. The node makes its own transport listen, which nothing uses: it does so on a free
// port of loopback, until it has started.
func (l *nodeLife) OnStart() error {
	if l.err != nil {
		return l.err
	}
	cfg := l.Config().P2P
	address := cfg.ListenAddress
	l.yard.listen, cfg.ListenAddress = address, "tcp://127.0.0.1:0"
	err := l.Node.OnStart()
	cfg.ListenAddress = address
	if err != nil {
		l.yard.end()
		return err
	}
	if !closeStock(l.Node, l.yard.serving.Go) {
		l.yard.logger.Info("CometBFT's own transport keeps a port of loopback, which nothing uses")
	}
	return nil
}

// OnStop implements service.Service.
func (l *nodeLife) OnStop() {
	l.Node.OnStop()
	l.yard.end()
}

// fail stops the node for a Switchyard that has failed.
func (l *nodeLife) fail(err error) {
	if err := l.Stop(); err != nil {
		l.yard.logger.Error("Stopping the node after Switchyard has failed", "err", err)
	}
	if f := l.yard.Failed; f != nil {
		f(err)
	}
}

// switchLife starts and stops a Switch in place of the Switch itself. Switchyard starts behind all reactors: block sync
// hands over to consensus a second after its own start, and fails if consensus has not started by then.
type switchLife struct {
	*p2p.Switch
	yard *yard
}

// OnStart implements service.Service.
func (l *switchLife) OnStart() error {
	err := l.Switch.OnStart()
	if err == nil {
		err = l.yard.start()
	}
	if err != nil {
		l.OnStop()
	}
	return err
}

// OnStop implements service.Service.
func (l *switchLife) OnStop() {
	l.Switch.OnStop()
	l.yard.end()
}

// yard is Switchyard below one Switch.
type yard struct {
	parts
	sw      *p2p.Switch
	logger  log.Logger
	info    p2p.DefaultNodeInfo
	listen  string // p2p.laddr; the configuration has another one while the node starts
	metrics *p2p.Metrics
	failed  func(error) // called once if Switchyard ends by itself

	host     atomic.Pointer[host.Host] // nil before the start
	channels map[byte]*channel         // by id; written before the host runs
	peers    table
	roles    roles
	count    count
	exported exported

	ctx     context.Context    // of Switchyard; nil before the start
	cancel  context.CancelFunc // ends it
	closing chan struct{}      // closed when the end begins
	stopped sync.Once
	done    chan struct{} // closed when modules.Run has returned err
	err     error
	serving sync.WaitGroup
}

func newYard(sw *p2p.Switch, in parts, info p2p.DefaultNodeInfo) *yard {
	y := &yard{parts: in, sw: sw, logger: sw.Logger, info: info, listen: in.config.P2P.ListenAddress,
		channels: map[byte]*channel{}, closing: make(chan struct{}), done: make(chan struct{})}
	y.peers.init()
	return y
}

// start builds the host and waits until it listens.
func (y *yard) start() error {
	logger := slog.New(&logHandler{to: y.logger})
	cfg, err := y.settings(logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	y.ctx, y.cancel = ctx, cancel
	up := make(chan struct{})
	go func() {
		defer close(y.done)
		y.err = modules.Run(ctx, modules.Node(cfg, modules.With(y.Plugins, y.extension(up))...), fx.Supply(logger))
	}()
	select {
	case <-up:
	case <-y.done:
		cancel()
		if y.err == nil {
			y.err = host.ErrStopped
		}
		return fmt.Errorf("switchyard: %w", y.err)
	}
	y.serving.Go(func() { y.pulse(ctx) })
	for _, c := range y.channels {
		y.serving.Go(func() { c.serve(ctx) })
	}
	go y.watch(ctx) // ends with y.done; nobody waits for it, as it may stop the node, which waits for all others
	return nil
}

// watch tells the node when Switchyard ends by itself.
func (y *yard) watch(ctx context.Context) {
	<-y.done
	if ctx.Err() != nil {
		return
	}
	err := y.err
	if err == nil {
		err = host.ErrStopped
	}
	err = fmt.Errorf("switchyard: %w", err)
	y.logger.Error("Switchyard has failed; the node stops", "err", err)
	if y.failed != nil {
		y.failed(err)
	}
}

// extension adds to Switchyard's graph what the node brings: its identity, its gates, and the reactors' channels.
func (y *yard) extension(up chan<- struct{}) modules.Plugin {
	return modules.Extend("cometbft", func(modules.Config) fx.Option {
		registry := fx.Options()
		if y.config.Instrumentation.IsPrometheusEnabled() {
			registry = fx.Supply(fx.Annotate(&y.exported, fx.As(new(prometheus.Registerer))))
		}
		return fx.Options(
			registry,
			y.identity(),
			fx.Provide(
				fx.Annotate(y.gate, fx.ResultTags(`group:"gates"`)),
				fx.Annotate(y.tune, fx.ResultTags(`group:"tune"`)),
			),
			fx.Invoke(y.importBook),
			fx.Invoke(func(h *host.Host, life fx.Lifecycle) error {
				if err := y.open(h); err != nil {
					return err
				}
				y.host.Store(h)
				life.Append(fx.StartHook(func() { close(up) })) // the last hook: the host listens
				return nil
			}),
		)
	})
}

// serveGrace is how long the end waits for reactors that are busy with a message.
const serveGrace = 5 * time.Second

// end stops Switchyard, if it was started, and waits for it. It may be called again.
func (y *yard) end() {
	y.stopped.Do(func() {
		close(y.closing)
		if y.cancel == nil {
			return
		}
		y.restoreRoles()
		y.cancel()
		<-y.done
		y.exported.withdraw()
		y.report(y.err)
		served := make(chan struct{})
		go func() { y.serving.Wait(); close(served) }()
		select {
		case <-served:
		case <-time.After(serveGrace):
			y.logger.Error("A reactor is still busy with a message; the node stops without it", "waited", serveGrace)
		}
	})
}

// report logs what went wrong while Switchyard stopped.
func (y *yard) report(err error) {
	if err != nil {
		y.logger.Error("Stopping Switchyard", "err", err)
	}
}

// self is our node id.
func (y *yard) self() transport.NodeID { return transport.NodeID(y.info.ID()) }
