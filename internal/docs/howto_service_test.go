package docs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// greeter says hello to every peer that comes up.
type greeter struct {
	host    *host.Host
	channel *host.Channel
}

type greeterConfig struct{ Greeting string }

func greeterDefaults() greeterConfig { return greeterConfig{Greeting: "hello"} }

func newGreeter(_ greeterConfig, h *host.Host, _ *slog.Logger) (*greeter, error) {
	channel, err := h.OpenChannel(muxer.Channel{ID: 0x70, Name: "/hello/1.0.0", MaxMessage: 1024})
	return &greeter{h, channel}, err
}

func (g *greeter) Run(ctx context.Context) error {
	peers := g.host.Subscribe(ctx)
	defer peers.Close()
	for {
		u, err := peers.Next(ctx)
		if err != nil {
			return nil // the node stops
		}
		if u.Status == host.PeerUp {
			g.channel.TrySend(u.ID, []byte("hello"))
		}
	}
}

// A node with the greeter, from a configuration, and a node of package switchyard that is greeted.
func Example_service() {
	ctx, stop := context.WithCancel(context.Background())
	cfg := modules.Default()
	cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Store.Path, cfg.Admin.Address = "", "" // peers are kept in memory, and there is no admin API
	cfg.Home = must(os.MkdirTemp("", "example"))
	defer remove(cfg.Home)
	var h *host.Host
	app := fx.New(
		modules.Node(cfg, modules.With(standard.Plugins(),
			modules.Service("greeter", greeterDefaults, newGreeter).OnByDefault())...),
		fx.Populate(&h))
	check(app.Start(ctx))
	defer func() { check(app.Stop(context.WithoutCancel(ctx))) }()

	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	node := must(switchyard.New(ctx, switchyard.Listen()))
	inbox := must(node.Host().OpenChannel(switchyard.Channel{ID: 0x70, Name: "/hello/1.0.0"}))
	running.Go(func() { _ = node.Run(ctx) })
	check(node.Host().WaitListening(ctx))
	must(node.Host().Dial(ctx, h.SelfAddresses()[0]))
	fmt.Printf("%s\n", must(inbox.Receive(ctx)).Message)
	// Output: hello
}
