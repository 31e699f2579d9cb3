package admin_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
)

// A program serves the API for its host, and asks it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	node := must(switchyard.New(ctx, switchyard.Listen(), switchyard.Moniker("mine")))
	store := memory.New(peerstore.Limits{})
	defer store.Close()
	server := must(admin.New(admin.Config{Address: "127.0.0.1:0"},
		admin.Of(node.Host(), store, prometheus.NewRegistry()), nil))
	running.Go(func() { _ = node.Run(ctx) })
	running.Go(func() { _ = server.Run(ctx) })
	<-server.Listening()

	client := must(admin.NewClient(server.Addr().String()))
	status := must(client.Status(ctx))
	fmt.Println(status.Moniker, status.NodeID == node.Host().Self())
	// Output: mine true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
