package discovery_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

// fixed is a source of one address.
type fixed struct{ addr transport.Address }

// Run implements discovery.Source.
func (f fixed) Run(_ context.Context, _ discovery.Network, found func(transport.Address, transport.NodeID)) error {
	found(f.addr, "") // no peer reported it
	return nil        // it is done
}

// A node dials what a source of its own has found.
func Example() {
	ctx := context.Background()
	a := must(switchyard.New(ctx, switchyard.Listen("/ip4/127.0.0.1/tcp/0")))
	defer a.Close()
	go func() { _ = a.Run(ctx) }()
	if err := a.Host().WaitListening(ctx); err != nil {
		panic(err)
	}
	b := must(switchyard.New(ctx, switchyard.Listen(),
		switchyard.Source("fixed", func(discovery.Env) (discovery.Source, error) {
			return fixed{a.Addresses()[0]}, nil
		})))
	defer b.Close()
	peers := b.Host().Subscribe(ctx)
	defer peers.Close()
	go func() { _ = b.Run(ctx) }()
	fmt.Println(must(peers.Next(ctx)).ID == a.Host().Self())
	// Output: true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
