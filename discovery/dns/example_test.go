package dns_test

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/dns"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A node at each IP of a host name, looked up every minute.
func Example() {
	source, err := dns.New(dns.Config{
		Names:    []string{"3fff8ce1b4ba4011be921f1442e1dacb80df4c63@localhost:26656"},
		Interval: time.Minute,
	}, discovery.Env{})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	_ = source.Run(ctx, nil, func(addr transport.Address, _ transport.NodeID) {
		fmt.Println(addr.IsLoopback(), addr.Port())
		stop()
	})
	// Output: true 26656
}
