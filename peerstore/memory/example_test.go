package memory_test

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The store learns an address, chooses it for a dial, and refuses it while its IP is banned.
func Example() {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	store := memory.New(peerstore.Limits{})
	defer store.Close()
	addr, err := transport.ParseAddress("3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656")
	if err != nil {
		panic(err)
	}
	fmt.Println(store.Add(addr, peerstore.Source{Kind: "dns"}, now))

	peer, ok := store.Next(now, peerstore.Query{})
	fmt.Println(peer.ID, ok)

	target, err := peerstore.ParseTarget("192.0.2.0/24")
	if err != nil {
		panic(err)
	}
	if err := store.Ban(peerstore.Ban{Target: target, Reason: "spam"}); err != nil {
		panic(err)
	}
	_, ok = store.Next(now, peerstore.Query{})
	fmt.Println(ok)
	// Output:
	// true
	// 3fff8ce1b4ba4011be921f1442e1dacb80df4c63 true
	// false
}
