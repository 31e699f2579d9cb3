package transfer_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/peerstore/transfer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// What one store knows becomes a text, which another one reads.
func Example() {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	from, to := memory.New(peerstore.Limits{}), memory.New(peerstore.Limits{})
	defer from.Close()
	defer to.Close()
	addr, err := transport.ParseAddress("3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656")
	if err != nil {
		panic(err)
	}
	from.Add(addr, peerstore.Source{Kind: "dns"}, now)

	var text bytes.Buffer
	if err := transfer.Export(&text, from, now); err != nil {
		panic(err)
	}
	done, err := transfer.Import(&text, to, now)
	fmt.Printf("%+v %v\n", done, err)
	// Output: {Peers:1 Addresses:1 Bans:0 Refused:0 Bad:0} <nil>
}
