package host_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// gossip hands each message that is new to it on to all other peers: the simplest relay. It remembers what it has seen.
type gossip struct {
	mu   sync.Mutex
	seen [][]byte
}

func (g *gossip) isNew(msg []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.ContainsFunc(g.seen, func(m []byte) bool { return bytes.Equal(m, msg) }) {
		return false
	}
	g.seen = append(g.seen, msg)
	return true
}

func (g *gossip) has(msg []byte) bool { return !g.isNew(msg) }

func (g *gossip) serve(ctx context.Context, c *host.Channel) error {
	return c.Serve(ctx, func(_ context.Context, e host.Envelope) error {
		if g.isNew(e.Message) {
			c.Broadcast(e.Message)
		}
		return nil
	})
}

// A network of nodes that speak comet, libp2p or both: who has a wire in common finds each other, and nobody tries what
// cannot be; what any node says reaches all, by way of those that speak both. Then all but one of those stop, and that
// one still carries everything.
func TestAMixedNetwork(t *testing.T) {
	const each = 4
	speaks := func(n *hosttest.Node) []string {
		switch n.Index % 3 {
		case 0:
			return []string{transport.WireComet, transport.WireLibp2p}
		case 1:
			return []string{transport.WireComet}
		}
		return []string{transport.WireLibp2p}
	}
	gossips := make([]*gossip, 3*each)
	inNet(t, hosttest.Options{Nodes: 3 * each, KnowFirst: true, Conditions: wan, Speaks: speaks, Plain: true,
		Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			gossips[n.Index] = &gossip{}
			services, err := withPEX(n)
			return append(services, func(ctx context.Context) error {
				return gossips[n.Index].serve(ctx, n.Channels[0])
			}), err
		}}, func(t *testing.T, net *hosttest.Network) {
		meet := func(a, b *hosttest.Node) bool {
			return slices.ContainsFunc(a.Speaks(), func(w string) bool { return slices.Contains(b.Speaks(), w) })
		}
		took := net.Await("all that have a wire in common are linked", func() string {
			for i, a := range net.Nodes {
				for _, b := range net.Nodes[i+1:] {
					if meet(a, b) && !a.Has(b) {
						return fmt.Sprintf("%s (%v) does not have %s (%v).", a.Name, a.Speaks(), b.Name, b.Speaks())
					}
				}
			}
			return ""
		})
		t.Logf("everybody that can has everybody after %v", took)
		net.AssertTruth()
		for _, a := range net.Nodes {
			for _, b := range net.Nodes {
				for _, addr := range a.Host.PeerManager().Addresses(b.ID) {
					if !slices.Contains(b.Speaks(), addr.Wire()) {
						t.Errorf("%s believes that %s (%v) is at %s", a.Name, b.Name, b.Speaks(), addr)
					}
				}
			}
			for _, e := range a.Events(host.EventDialFailed) {
				if other := e.Reason.Code.String(); other == "incompatible" || other == "protocol-error" {
					t.Errorf("%s dialed in vain: %s %v", a.Name, e.Address, e.Reason)
				}
			}
		}
		reaches := func(from *hosttest.Node, text string) {
			t.Helper()
			msg := []byte(text)
			gossips[from.Index].isNew(msg)
			from.Channels[0].Broadcast(msg)
			time.Sleep(time.Second)
			for _, n := range net.Nodes {
				if n.Running() && !gossips[n.Index].has(msg) {
					t.Errorf("%q has not reached %s (%v)", text, n.Name, n.Speaks())
				}
			}
		}
		for _, n := range net.Nodes {
			reaches(n, "from "+n.Name)
		}
		for i := 3; i < len(net.Nodes); i += 3 {
			net.Nodes[i].Stop()
		}
		time.Sleep(time.Minute)
		reaches(net.Nodes[1], "from comet by the last that speaks both")
		reaches(net.Nodes[2], "from libp2p by the last that speaks both")
		net.AssertTruth()
	})
}

// A peer that is known by addresses over both wires is one peer with one link: the wire that we like better is tried
// first, the other where that fails.
func TestOnePeerOverTwoWires(t *testing.T) {
	for _, first := range []string{transport.WireComet, transport.WireLibp2p} {
		second := transport.WireLibp2p
		if first == second {
			second = transport.WireComet
		}
		speaks := func(*hosttest.Node) []string { return []string{first, second} }
		inNet(t, hosttest.Options{Speaks: speaks, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			if a.AddressOver(first).ID() != a.AddressOver(second).ID() {
				t.Fatal("one key has two node ids")
			}
			learnOver(a, b, second)
			net.AwaitLink(a, b)
			if info, _ := a.Host.Peer(b.ID); info.Wire != second {
				t.Errorf("linked over %s, with nothing but an address over %s", info.Wire, second)
			}
			b.Stop()
			time.Sleep(time.Minute)
			a.Host.PeerManager().Add(b.AddressOver(first), peerstore.Source{Kind: "pex"})
			b.Start()
			net.AwaitLink(a, b)
			if got := a.Host.PeerManager().Addresses(b.ID); !slices.Contains(got, b.AddressOver(first)) ||
				!slices.Contains(got, b.AddressOver(second)) {
				t.Errorf("the book has %v", got)
			}
			// over another wire than the link's, perhaps: it is the same peer
			if _, err := b.Host.Dial(t.Context(), a.AddressOver(first)); err != nil {
				t.Error(err)
			}
			net.AssertOneLinkPerPeer()
			net.AssertTruth()
			a.Restart() // its book has both addresses
			net.AwaitLink(a, b)
			net.AssertOneLinkPerPeer()
		})
		// Both addresses are new: the wire that we like better wins.
		inNet(t, hosttest.Options{Speaks: speaks, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			a.Learn(b)
			net.AwaitLink(a, b)
			if info, _ := a.Host.Peer(b.ID); info.Wire != first {
				t.Errorf("linked over %s, want %s", info.Wire, first)
			}
			net.AssertNoFlap(a, b)
			net.AssertNoFlap(b, a)
		})
		// The remote speaks only the other one, and is known by both.
		inNet(t, hosttest.Options{Speaks: func(n *hosttest.Node) []string { return []string{first, second}[n.Index:] },
			Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			learnOver(a, b, first)
			learnOver(a, b, second)
			net.AwaitLink(a, b)
			if info, _ := a.Host.Peer(b.ID); info.Wire != second {
				t.Errorf("linked over %s, want %s", info.Wire, second)
			}
		})
	}
}
