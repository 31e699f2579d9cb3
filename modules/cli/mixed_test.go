package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/transport"
)

// mixedLimit bounds how long the network of TestMixedNetwork may take to converge.
const mixedLimit = 50 * time.Second

// mixedNode is a process of TestMixedNetwork.
type mixedNode struct {
	*node
	kind  demoKind
	admin *admin.Client
}

// TestMixedNetwork runs twelve processes that speak different wires and know one address, that of a node that speaks
// all. Every two nodes with a common wire get a link over one that both have; nodes without a common wire get none; the
// echo service answers on every wire.
func TestMixedNetwork(t *testing.T) {
	kinds := map[string]demoKind{}
	for _, k := range demoKinds {
		kinds[k.name] = k
	}
	names := strings.Fields("all comet libp2p quic all comet libp2p quic all comet libp2p quic")
	start := func(kind demoKind, seed []string) *mixedNode {
		home := t.TempDir()
		args := []string{"init", "--home", home, "--network", "mixed", "--moniker", kind.name, "--set",
			"admin.address=127.0.0.1:0", "--set", "services.echo.enabled=true",
			"--set", "peers.max_outbound=11", // every node may dial all others
			"--set", "stack.transports=" + list(kind.transports), "--set", "stack.wires=" + list(kind.wires)}
		for _, l := range kind.listen {
			args = append(args, "--listen", l)
		}
		for _, s := range seed {
			if kind.dials(s) {
				args = append(args, "--set", "peers.bootstrap="+s)
				break
			}
		}
		must(t, args...)
		n := &mixedNode{node: startNode(t, home), kind: kind}
		var err error
		if n.admin, err = admin.NewClient(n.node.admin); err != nil {
			t.Fatal(err)
		}
		return n
	}
	nodes := make([]*mixedNode, len(names))
	nodes[0] = start(kinds[names[0]], nil)
	seed := nodes[0].addresses()
	for i, name := range names[1:] {
		nodes[i+1] = start(kinds[name], seed)
	}

	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), mixedLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for missing := mixedMissing(ctx, t, nodes); len(missing) > 0; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v, %d links are missing: %s", mixedLimit, len(missing), strings.Join(missing, ", "))
		}
		if now := mixedMissing(ctx, t, nodes); ctx.Err() == nil {
			missing = now
		}
	}
	t.Logf("converged after %v", time.Since(began).Round(time.Millisecond))

	for _, n := range nodes[:4] {
		for _, a := range n.addresses() {
			if !n.kind.dials(a) {
				continue
			}
			var r roundTrips
			mustJSON(t, &r, "echo", a, "--network", "mixed", "--count", "2", "--size", "4096", "--json")
			if !r.OK || r.Count != 2 {
				t.Errorf("echo of %s at %s: %+v", n.kind.name, a, r)
			}
		}
	}
}

// mixedMissing returns the pairs that have a common wire and no link yet. It fails the test for impossible links.
func mixedMissing(ctx context.Context, t *testing.T, nodes []*mixedNode) (missing []string) {
	t.Helper()
	byID := map[transport.NodeID]*mixedNode{}
	for _, n := range nodes {
		byID[transport.NodeID(n.id)] = n
	}
	for i, n := range nodes {
		peers, err := n.admin.Peers(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Fatalf("node %d (%s): %v", i+1, n.kind.name, err)
			}
			return missing
		}
		linked := map[transport.NodeID]bool{}
		for _, p := range peers {
			other := byID[p.NodeID]
			if other == nil || !n.kind.meets(other.kind) || !n.kind.has(p.Wire, p.Transport) ||
				!other.kind.has(p.Wire, p.Transport) || p.Guest {
				t.Fatalf("node %d (%s) has a link that cannot be: %+v", i+1, n.kind.name, p)
			}
			if p.Network != "mixed" || p.Moniker != other.kind.name {
				t.Fatalf("node %d (%s) takes its peer for another: %+v", i+1, n.kind.name, p)
			}
			linked[p.NodeID] = true
		}
		for j, other := range nodes {
			if i != j && n.kind.meets(other.kind) && !linked[transport.NodeID(other.id)] {
				missing = append(missing, fmt.Sprintf("%d-%d (%s, %s)", i+1, j+1, n.kind.name, other.kind.name))
			}
		}
	}
	return missing
}

// has reports whether a node of this kind can have such a link.
func (k demoKind) has(wire, network string) bool {
	return strings.Contains(strings.Join(k.wires, " "), wire) &&
		strings.Contains(strings.Join(k.transports, " "), network)
}

// list returns a TOML list.
func list(names []string) string { return `["` + strings.Join(names, `","`) + `"]` }

// addresses returns where the node can be dialed, on every wire that it speaks.
func (n *node) addresses() (all []string) {
	for _, l := range n.listens {
		if strings.Contains(l, "/tcp/") {
			all = append(all, l+"/mconn/"+n.id)
		}
		all = append(all, l+"/p2p/"+n.peerID)
	}
	return all
}
