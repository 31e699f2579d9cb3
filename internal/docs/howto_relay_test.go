package docs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host/relay"
	"github.com/switchyard-p2p/switchyard/transport"
)

// checkBlock is asked about each item once, beside the reading of messages.
func checkBlock(_ context.Context, _ transport.NodeID, item []byte) error {
	if len(item) < 4 {
		return errors.New("too short for a block") // refused for good, and reported against the peer
	}
	return nil
}

// An item goes from one node to another.
func Example_relay() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	start := func(options ...switchyard.Option) (*switchyard.Node, *relay.Relay) {
		node := must(switchyard.New(ctx, options...))
		r := must(relay.New(relay.Config{Topic: "blocks", Channel: 0x61, Validate: checkBlock}, node.Host(), nil))
		running.Go(func() { _ = r.Run(ctx) })
		running.Go(func() { _ = node.Run(ctx) })
		check(node.Host().WaitListening(ctx))
		return node, r
	}
	a, publisher := start(switchyard.Listen("/ip4/127.0.0.1/tcp/0"))
	b, reader := start(switchyard.Listen())
	sub := reader.Subscribe(0)
	defer sub.Close()
	must(b.Host().Dial(ctx, a.Addresses()[0]))

	receipt, err := publisher.Publish(ctx, []byte("a block"))
	check(err)
	d, err := sub.Next(ctx)
	check(err)
	fmt.Printf("%s, from its publisher: %v\n", d.Item, d.From == a.Host().Self())
	fmt.Println("the same id:", d.ID == receipt.ID)
	// Output:
	// a block, from its publisher: true
	// the same id: true
}
