package peerstore_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A ban names a node, an address or a network.
func ExampleParseTarget() {
	for _, text := range []string{
		"192.0.2.7", "192.0.2.0/24", "3fff8ce1b4ba4011be921f1442e1dacb80df4c63", "nobody",
	} {
		if target, err := peerstore.ParseTarget(text); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(target)
		}
	}
	// Output:
	// 192.0.2.7
	// 192.0.2.0/24
	// 3fff8ce1b4ba4011be921f1442e1dacb80df4c63
	// ban target "nobody": neither a node id, an IP address nor a CIDR
}

// Addresses of one /16 are of one group, unless a map says whose they are.
func ExampleGroups() {
	groups, err := peerstore.ReadGroups(strings.NewReader("192.0.2.0/24 AS64496\n198.51.100.0/24 AS64496\n"))
	if err != nil {
		panic(err)
	}
	of := func(ip string) peerstore.Group { return groups.OfIP(netip.MustParseAddr(ip)) }
	fmt.Println("one system:", of("192.0.2.1") == of("198.51.100.1"))
	fmt.Println("one /16:", of("203.0.113.1") == of("203.0.200.1"))
	fmt.Println("another:", of("203.0.113.1") == of("192.0.2.1"))
	// Output:
	// one system: true
	// one /16: true
	// another: false
}
