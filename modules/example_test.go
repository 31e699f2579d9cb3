package modules_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"sync"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// greeter is a service: it says hello to every peer that comes up, and hands on what it hears.
type greeter struct {
	host    *host.Host
	channel *host.Channel
	heard   func(from, text string)
}

// greeterConfig holds what [services.greeter] may say. A function is for Go programs, and not a key.
type greeterConfig struct{ Heard func(from, text string) }

func newGreeter(cfg greeterConfig, h *host.Host, _ *slog.Logger) (*greeter, error) {
	channel, err := h.OpenChannel(muxer.Channel{ID: 0x70, Name: "/hello/1.0.0", MaxMessage: 1024})
	return &greeter{h, channel, cfg.Heard}, err
}

// Run works until ctx ends, and returns after its goroutine has.
func (g *greeter) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			m, err := g.channel.Receive(ctx)
			if err != nil {
				return
			}
			g.heard(string(m.From), string(m.Message))
		}
	})
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

// Two whole nodes with a service of their own, in one process. The second one knows the address of the first.
func Example() {
	ctx := context.Background()
	done := make(chan string, 2)
	defaults := func() greeterConfig { return greeterConfig{func(_, text string) { done <- text }} }
	plugins := modules.With(standard.Plugins(), modules.Service("greeter", defaults, newGreeter).OnByDefault())

	start := func(moniker string, bootstrap ...string) (*fx.App, *host.Host) {
		cfg := modules.Default()
		cfg.Network, cfg.Moniker = "example", moniker
		cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0"}
		cfg.Peers.Bootstrap = bootstrap
		cfg.Store.Path, cfg.Admin.Address = "", "" // peers are kept in memory, and there is no admin API
		cfg.Home, _ = os.MkdirTemp("", "example")  // for the node's key
		var h *host.Host
		app := fx.New(modules.Node(cfg, plugins...), fx.Populate(&h))
		if err := app.Start(ctx); err != nil {
			log.Fatal(err)
		}
		_ = os.RemoveAll(cfg.Home)
		return app, h
	}
	first, h := start("first")
	addr, err := transport.NewAddress(h.ListenAddrs()[0], string(h.Self()))
	if err != nil {
		log.Fatal(err)
	}
	second, _ := start("second", addr.String())
	fmt.Println(<-done, "and", <-done)
	_ = second.Stop(ctx)
	_ = first.Stop(ctx)
	// Output: hello and hello
}
