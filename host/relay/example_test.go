package relay_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host/relay"
)

// An item goes from one node to another.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	start := func(options ...switchyard.Option) (*switchyard.Node, *relay.Relay) {
		node := must(switchyard.New(ctx, options...))
		r := must(relay.New(relay.Config{Topic: "blocks"}, node.Host(), nil))
		running.Go(func() { _ = r.Run(ctx) })
		running.Go(func() { _ = node.Run(ctx) })
		if err := node.Host().WaitListening(ctx); err != nil {
			panic(err)
		}
		return node, r
	}
	a, publisher := start(switchyard.Listen("/ip4/127.0.0.1/tcp/0"))
	b, reader := start(switchyard.Listen())
	sub := reader.Subscribe(0)
	defer sub.Close()
	must(b.Host().Dial(ctx, a.Addresses()[0]))
	receipt := must(publisher.Publish(ctx, []byte("a block")))
	d := must(sub.Next(ctx))
	fmt.Printf("%s %v\n", d.Item, d.ID == receipt.ID)
	// Output: a block true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
