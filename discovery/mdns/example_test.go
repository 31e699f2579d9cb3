package mdns_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/mdns"
)

// A node that finds others on the local network, and is found there.
func Example() {
	node, err := switchyard.New(context.Background(), switchyard.Listen("/ip4/0.0.0.0/tcp/0"),
		switchyard.Source("mdns", func(env discovery.Env) (discovery.Source, error) {
			return mdns.New(mdns.Default(), env)
		}))
	if err != nil {
		panic(err)
	}
	defer node.Close()
	fmt.Println("ready for node.Run")
	// Output: ready for node.Run
}
