package pex_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
)

// A node that knows one other finds a third through it. Nodes of package switchyard have this source as they are; the
// one in the middle replaces it by one that says what it does.
func Example() {
	ctx := context.Background()
	start := func(options ...switchyard.Option) *switchyard.Node {
		node := must(switchyard.New(ctx, append(options, switchyard.Listen("/ip4/127.0.0.1/tcp/0"))...))
		return node
	}
	run := func(node *switchyard.Node) {
		go func() { _ = node.Run(ctx) }()
		if err := node.Host().WaitListening(ctx); err != nil {
			panic(err)
		}
	}
	middle := start(switchyard.Source("pex", func(env discovery.Env) (discovery.Source, error) {
		return pex.New(pex.Default(), env)
	}))
	run(middle)
	defer middle.Close()
	known := middle.Addresses()[0].String()
	first := start(switchyard.Bootstrap(known))
	run(first)
	defer first.Close()

	second := start(switchyard.Bootstrap(known))
	defer second.Close()
	peers := second.Host().Subscribe(ctx)
	defer peers.Close()
	run(second)
	for range 2 {
		switch must(peers.Next(ctx)).ID {
		case middle.Host().Self():
			fmt.Println("the one that it knew")
		case first.Host().Self():
			fmt.Println("the one that it found")
		}
	}
	// Unordered output:
	// the one that it knew
	// the one that it found
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
