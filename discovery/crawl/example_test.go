package crawl_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
)

// A journal is all that a map is made of. This one has two visits: the first node told of the second.
func ExampleRead() {
	const journal = `{"v":1,"time":"2026-11-30T12:00:00Z","network":"net","seed":true,"dials":1,"outcome":"reached",` +
		`"address":"/ip4/192.0.2.1/tcp/26656/mconn/3fff8ce1b4ba4011be921f1442e1dacb80df4c63",` +
		`"id":"3fff8ce1b4ba4011be921f1442e1dacb80df4c63","proven":"3fff8ce1b4ba4011be921f1442e1dacb80df4c63",` +
		`"info":{"moniker":"one"},"pex":{"answered":true,"told":1},` +
		`"heard":["/ip4/192.0.2.2/tcp/26656/mconn/18f68d9243062d8ddb5294866e843c0e62d17bab"]}` + "\n" +
		`{"v":1,"time":"2026-11-30T12:00:01Z","network":"net","dials":1,"outcome":"failed","stage":"transport",` +
		`"code":"timeout","address":"/ip4/192.0.2.2/tcp/26656/mconn/18f68d9243062d8ddb5294866e843c0e62d17bab",` +
		`"id":"18f68d9243062d8ddb5294866e843c0e62d17bab"}` + "\n"
	m, err := crawl.Read(strings.NewReader(journal))
	if err != nil {
		panic(err)
	}
	for _, n := range m.Nodes {
		fmt.Println(n.Name(), "is", n.State)
	}
	if err := m.WritePeers(os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// one is reachable
	// 18f68d924306... is unreachable
	// 3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656
}
