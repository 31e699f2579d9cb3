package storm

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// A Kademlia DHT of both kinds, a third of which speak TCP alone and a third QUIC alone: each node finds one that it
// does not know, newcomers find some over several hops, and each finds what another provides.
func TestDHT(t *testing.T) {
	hosts := mixture(t, often(60, 24), func(i int) hostkit.Options {
		o := hostkit.Options{Via: hostkit.Mixed}
		if k := i / 2 % 3; k < 2 {
			o.Listen = []hostkit.Via{hostkit.Noise, hostkit.QUIC}[k].Listen("127.0.0.1")
		}
		return o
	})
	nodes := make([]*dht.IpfsDHT, len(hosts))
	for i, h := range hosts {
		nodes[i] = newNode(t, h, dht.ModeServer)
		if i > 0 {
			if err := join(within(t), nodes[i], hosts[(i-1)/2]); err != nil {
				t.Fatalf("%s %d joins: %v", kinds[i%2].name, i, err)
			}
		}
	}
	for range 2 { // who is near a node learns of it; the second time all do
		for i, n := range nodes {
			if _, err := n.GetClosestPeers(within(t), string(n.PeerID())); err != nil {
				t.Fatalf("%s %d looks itself up: %v", kinds[i%2].name, i, err)
			}
		}
	}
	visit(t, nodes, hosts)
	met := 0
	for i, n := range nodes {
		if to, ok := stranger(n, hosts, i); ok {
			met++
			if _, err := find(within(t), n, hosts[to]); err != nil {
				t.Errorf("%s %d finds %s %d: %v", kinds[i%2].name, i, kinds[to%2].name, to, err)
			}
		}
	}
	provide(t, nodes, hosts)
	t.Logf("%d nodes, of which %d found one that they did not know", len(nodes), met)
}

// newNode makes a node whose table is so small that it does not hold all others.
func newNode(t *testing.T, h host.Host, mode dht.ModeOpt) *dht.IpfsDHT {
	t.Helper()
	n, err := dht.New(h, dht.Mode(mode), dht.ProtocolPrefix("/storm"), dht.BucketSize(often(16, 8)),
		dht.DisableAutoRefresh())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// join connects a node and waits until its table holds the other end.
func join(ctx context.Context, n *dht.IpfsDHT, at host.Host) error {
	if err := hostkit.Connect(ctx, n.Host(), at); err != nil {
		return err
	}
	soon := time.NewTicker(time.Millisecond)
	defer soon.Stop()
	for n.RoutingTable().Find(at.ID()) == "" {
		select {
		case <-soon.C:
		case <-ctx.Done():
			return errTooLate
		}
	}
	return nil
}

// stranger returns a host that a node neither knows nor is connected with, far from it in the list. Both kinds come up.
func stranger(n *dht.IpfsDHT, hosts []host.Host, i int) (int, bool) {
	for d := range hosts {
		k := (i + len(hosts)/2 + d + i/2%2) % len(hosts)
		id := hosts[k].ID()
		if k != i && n.RoutingTable().Find(id) == "" && n.Host().Network().Connectedness(id) != network.Connected &&
			len(n.Host().Peerstore().Addrs(id)) == 0 {
			return k, true
		}
	}
	return 0, false
}

// visit lets newcomers, who know one node alone, find one that this node does not know: over two hops or more.
func visit(t *testing.T, nodes []*dht.IpfsDHT, hosts []host.Host) {
	hops, visits := map[int]int{}, 0
	for i := 0; i < len(nodes) && visits < often(12, 4); i += 3 {
		to, ok := stranger(nodes[i], hosts, i)
		if !ok {
			continue
		}
		h := start(t, kinds[i/3%2].make, hostkit.Options{Via: hostkit.Mixed})
		n := newNode(t, h, dht.ModeClient)
		if err := join(within(t), n, hosts[i]); err != nil {
			t.Fatalf("a newcomer joins %d: %v", i, err)
		}
		depth, err := find(within(t), n, hosts[to])
		if err != nil {
			t.Errorf("a newcomer of %s at %s %d finds %s %d: %v", kinds[i/3%2].name, kinds[i%2].name, i,
				kinds[to%2].name, to, err)
		}
		hops[depth]++
		visits++
	}
	t.Logf("newcomers' lookups by hops: %v", hops)
	if visits == 0 || hops[0]+hops[1] > 0 {
		t.Errorf("newcomers' lookups by hops: %v, expected two or more", hops)
	}
}

// find looks a peer up and returns how many hops away from the node the peer was found: 1 is a neighbour's answer.
func find(ctx context.Context, n *dht.IpfsDHT, to host.Host) (hops int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ctx, events := routing.RegisterForQueryEvents(ctx)
	depth := map[peer.ID]int{}
	var reading sync.WaitGroup
	reading.Go(func() {
		for e := range events {
			if e.Type != routing.PeerResponse {
				continue
			}
			for _, p := range e.Responses {
				if d, known := depth[p.ID]; !known || depth[e.ID]+1 < d {
					depth[p.ID] = depth[e.ID] + 1
				}
			}
		}
	})
	info, err := n.FindPeer(ctx, to.ID())
	cancel()
	reading.Wait()
	if err == nil && !overlap(info, hostkit.Info(to)) {
		err = fmt.Errorf("found at %v, expected %v", info.Addrs, to.Addrs())
	}
	return depth[to.ID()], err
}

// overlap reports whether two infos are of one peer and share an address.
func overlap(a, b peer.AddrInfo) bool {
	return a.ID == b.ID && slices.ContainsFunc(a.Addrs, func(m ma.Multiaddr) bool {
		return slices.ContainsFunc(b.Addrs, m.Equal)
	})
}

// provide lets each node provide something that another, of either kind, finds.
func provide(t *testing.T, nodes []*dht.IpfsDHT, hosts []host.Host) {
	for i, n := range nodes {
		hash, err := multihash.Sum([]byte(fmt.Sprintf("what %d has", i)), multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		what := cid.NewCidV1(cid.Raw, hash)
		if err := n.Provide(within(t), what, true); err != nil {
			t.Errorf("%s %d provides: %v", kinds[i%2].name, i, err)
			continue
		}
		seeker := (i + len(nodes)/2 + i/2%2) % len(nodes)
		found := false
		for range 5 { // with tables this small a lookup may end too early, among go-libp2p's hosts alone, too
			for info := range nodes[seeker].FindProvidersAsync(within(t), what, 1) {
				found = info.ID == hosts[i].ID()
			}
			if found {
				break
			}
		}
		if !found {
			t.Errorf("%s %d does not find what %s %d provides", kinds[seeker%2].name, seeker, kinds[i%2].name, i)
		}
	}
}
