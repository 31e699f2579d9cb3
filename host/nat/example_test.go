package nat_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host/nat"
)

// A program that embeds a node runs the service beside it.
func Example() {
	node, err := switchyard.New(context.Background(), switchyard.Listen("/ip4/0.0.0.0/tcp/0"))
	if err != nil {
		panic(err)
	}
	service, err := nat.New(nat.Config{Gateway: "127.0.0.1"}, node.Host(), slog.Default())
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = node.Run(ctx) })
	running.Go(func() { _ = service.Run(ctx) })
	stop() // deletes the mappings
	running.Wait()
	fmt.Println("advertised beyond the listen addresses:", node.Host().Reach.Learned())
	// Output: advertised beyond the listen addresses: []
}
