package echo_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host/echo"
)

// Two nodes with the service: one measures the way to the other.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	start := func(listen ...string) (*switchyard.Node, *echo.Service) {
		node := must(switchyard.New(ctx, switchyard.Listen(listen...)))
		service := must(echo.New(echo.Default(), node.Host().OpenChannel, nil))
		running.Go(func() { _ = service.Run(ctx) })
		running.Go(func() { _ = node.Run(ctx) })
		if err := node.Host().WaitListening(ctx); err != nil {
			panic(err)
		}
		return node, service
	}
	a, _ := start("/ip4/127.0.0.1/tcp/0")
	b, service := start()
	peer := must(b.Host().Dial(ctx, a.Addresses()[0]))
	took, err := service.Echo(ctx, peer.ID, []byte("are you there?"))
	fmt.Println(took > 0, err)
	// Output: true <nil>
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
