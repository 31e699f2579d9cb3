package autonat_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host/autonat"
)

// A program that embeds a node asks its peers whether they reach it. This one has none.
func Example() {
	node, err := switchyard.New(context.Background(), switchyard.Listen("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		panic(err)
	}
	// Without a Prober the service asks, and does not dial back itself.
	service, err := autonat.New(autonat.Config{}, node.Host(), nil, slog.Default())
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = node.Run(ctx) })
	if err := node.Host().WaitListening(ctx); err != nil {
		panic(err)
	}
	report, err := service.Ask(ctx)
	if err != nil {
		panic(err)
	}
	for _, a := range report.Addresses {
		fmt.Println(a.Verdict, "-", a.Why)
	}
	stop()
	running.Wait()
	// Output: unknown - nobody could be asked: the node has no peer
}
