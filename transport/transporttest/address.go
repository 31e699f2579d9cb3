package transporttest

import (
	"context"
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Address is s as a place to listen on or to dial, without a node id.
func Address(t testing.TB, s string) ma.Multiaddr {
	t.Helper()
	m, err := transport.ParseListen(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Names is a transport.Resolver that answers from a table. The answer to a name that is not in it comes when the
// context ends.
type Names map[string][]netip.Addr

// LookupNetIP implements transport.Resolver.
func (n Names) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if ips, ok := n[host]; ok {
		return ips, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}
