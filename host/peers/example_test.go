package peers_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The manager decides, the caller acts and reports: here on a dial that worked.
func Example() {
	self := handshake.NewIdentity([handshake.SeedSize]byte{1}).ID()
	store := memory.New(peerstore.Limits{})
	defer store.Close()
	manager := must(peers.New(self, peers.Config{}, store))
	addr := must(transport.ParseAddress("3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656"))
	if err := manager.Add(addr, peerstore.Source{Kind: "dns"}); err != nil {
		panic(err)
	}

	dial := must(manager.DialNext(context.Background()))
	fmt.Println("dial", dial.Addresses[0])
	err := manager.Arrived(peers.Arrival{ID: dial.ID, Side: muxer.Dialer, Dialed: addr, LinkID: 1})
	fmt.Println("take the link:", err == nil)
	preferred, _ := manager.Established(dial.ID, 1)
	fmt.Println("use it:", preferred)
	// Output:
	// dial /ip4/192.0.2.1/tcp/26656/mconn/3fff8ce1b4ba4011be921f1442e1dacb80df4c63
	// take the link: true
	// use it: true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
