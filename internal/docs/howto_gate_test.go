package docs

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// newGate refuses nodes whose moniker says that they are bots.
func newGate() handshake.Gate {
	return func(v handshake.Visitor) error {
		if v.At == handshake.AtInfo && strings.HasSuffix(v.Info.Moniker, "-bot") {
			return &handshake.Refusal{Code: muxer.CodeFiltered, Reason: "no bots"}
		}
		return nil
	}
}

// A node with a gate of its own refuses another one.
func Example_gate() {
	ctx := context.Background()
	gate := modules.Extend("gate", func(modules.Config) fx.Option {
		return fx.Provide(fx.Annotate(newGate, fx.ResultTags(`group:"gates"`)))
	})
	cfg := modules.Default()
	cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Store.Path, cfg.Admin.Address = "", ""
	cfg.Home = must(os.MkdirTemp("", "example"))
	defer remove(cfg.Home)
	var h *host.Host
	app := fx.New(modules.Node(cfg, modules.With(standard.Plugins(), gate)...), fx.Populate(&h))
	check(app.Start(ctx))
	defer func() { check(app.Stop(ctx)) }()

	node := must(switchyard.New(ctx, switchyard.Listen(), switchyard.Moniker("crawl-bot"),
		switchyard.Tune(func(c *host.Config) { c.Wires = c.Wires[1:] }))) // libp2p, which carries the reason
	defer node.Close()
	done := make(chan error)
	running, stop := context.WithCancel(ctx)
	go func() { done <- node.Run(running) }()
	check(node.Host().WaitListening(ctx))
	addresses := h.SelfAddresses()
	_, err := node.Host().Dial(ctx, must(addresses[0].WithNode(h.PublicKey().PeerID())))
	fmt.Println(err)
	stop()
	check(<-done)
	// Output: remote refused: filtered: no bots
}
