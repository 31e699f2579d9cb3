package transport_test

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/transport"
)

// All forms of an address become one multiaddr.
func ExampleParseAddress() {
	for _, text := range []string{
		"3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656",
		"/dns4/node.example.com/tcp/26656",
		"/ip4/192.0.2.1/udp/26656/quic-v1/p2p/12D3KooWLvko4PgHEdUNMeLxQoueeDdWeX6gH62MPwmKhqfgfm5Q",
		"192.0.2.1",
	} {
		a, err := transport.ParseAddress(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(a)
	}
	// Output:
	// /ip4/192.0.2.1/tcp/26656/mconn/3fff8ce1b4ba4011be921f1442e1dacb80df4c63
	// /dns4/node.example.com/tcp/26656
	// /ip4/192.0.2.1/udp/26656/quic-v1/p2p/12D3KooWLvko4PgHEdUNMeLxQoueeDdWeX6gH62MPwmKhqfgfm5Q
	// address "192.0.2.1": host "192.0.2.1": want HOST:PORT, or a multiaddr that begins with /
}
