package static_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/static"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The source reports its list, and is done.
func Example() {
	source, err := static.New(static.Config{
		Addresses: []string{"3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656"},
	}, discovery.Env{})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	err = source.Run(ctx, nil, func(addr transport.Address, from transport.NodeID) {
		fmt.Printf("%s from %q\n", addr, from)
		stop()
	})
	_ = err
	// Output: /ip4/192.0.2.1/tcp/26656/mconn/3fff8ce1b4ba4011be921f1442e1dacb80df4c63 from ""
}
