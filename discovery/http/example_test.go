package http_test

import (
	"context"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/http"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The source reports what a server lists.
func Example() {
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		fmt.Fprint(w, `{"peers":[{"address":"3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656"}]}`)
	}))
	defer server.Close()
	source, err := http.New(http.Config{URL: server.URL}, discovery.Env{})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	_ = source.Run(ctx, nil, func(addr transport.Address, _ transport.NodeID) {
		fmt.Println(addr)
		stop()
	})
	// Output: /ip4/192.0.2.1/tcp/26656/mconn/3fff8ce1b4ba4011be921f1442e1dacb80df4c63
}
