package services_test

import (
	"context"
	"fmt"
	"os"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/services"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// A program runs a node with the services, and calls one of them.
func Example() {
	ctx := context.Background()
	cfg := modules.Default()
	cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Store.Path, cfg.Admin.Address = "", ""
	cfg.Home = must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(cfg.Home)
	cfg.Services["pubsub"] = modules.Table{"enabled": true}
	plugins := modules.With(standard.Plugins(), services.Plugins()...)
	var pubsub *services.PubSub
	app := fx.New(modules.Node(cfg, plugins...), fx.Populate(&pubsub))
	check(app.Start(ctx))
	defer func() { check(app.Stop(ctx)) }()

	news := must(pubsub.Subscribe(ctx, "news"))
	defer news.Close()
	must(pubsub.Publish(ctx, "news", []byte("hello")))
	message := must(news.Next(ctx))
	fmt.Printf("%s, by ourselves: %t\n", message.Data, message.From == message.Via)
	// Output: hello, by ourselves: true
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
