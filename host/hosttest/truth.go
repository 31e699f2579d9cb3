package hosttest

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// rest is how long a network may take to come to rest before an assertion about its whole state judges it.
const rest = 30 * time.Second

// AssertTruth checks that all views of the network agree: on each node that runs, Host.Peers, the peer manager's list,
// its counts and what a subscriber was told; between the nodes, that both ends of a link have it, in opposite
// directions; that no budget is overdrawn; and that each pair has one connection if it is linked and none if not. Links
// that are coming or going get up to 30 s to come to rest.
func (net *Network) AssertTruth() {
	net.t.Helper()
	if took, why := net.wait(rest, net.untruth); why != "" {
		net.t.Errorf("after %v the views do not agree: %s\n%s", took, why, net)
	}
}

// AssertOneLinkPerPeer checks that no two nodes have more than one connection, and none without a link that uses it.
// Links that are coming or going get up to 30 s to come to rest.
func (net *Network) AssertOneLinkPerPeer() {
	net.t.Helper()
	if took, why := net.wait(rest, net.surplus); why != "" {
		net.t.Errorf("after %v: %s\n%s", took, why, net)
	}
}

// untruth returns the first disagreement; "" for none.
func (net *Network) untruth() string {
	for _, n := range net.running() {
		if why := net.untruthOf(n); why != "" {
			return n.Name + ": " + why
		}
	}
	return net.surplus()
}

func (net *Network) untruthOf(n *Node) string {
	m := n.Host.PeerManager()
	infos := n.Host.Peers()
	var ids []transport.NodeID
	for _, p := range infos {
		ids = append(ids, p.ID)
	}
	if managed := m.Peers(); !slices.Equal(ids, managed) {
		return fmt.Sprintf("the host has the peers %v, its peer manager %v", ids, managed)
	}
	if counts := m.Counts(); counts.Inbound+counts.Outbound+counts.Upgrades+counts.Trusted+counts.Guests+
		counts.DialedGuests != len(ids) {
		return fmt.Sprintf("%d peers are up, the counts are %+v", len(ids), counts)
	} else if counts.Inbound > n.limits.inbound || counts.Outbound > n.limits.outbound {
		return fmt.Sprintf("a budget is overdrawn: %+v, with %d inbound and %d outbound slots", counts,
			n.limits.inbound, n.limits.outbound)
	}
	told := map[transport.NodeID]bool{}
	n.mu.Lock()
	updates := slices.Clone(n.updates[n.first:])
	n.mu.Unlock()
	for _, u := range updates {
		told[u.ID] = u.Status == host.PeerUp
	}
	for id, up := range told {
		if up != slices.Contains(ids, id) {
			return fmt.Sprintf("a subscriber was told last of %s that it is up: %v; it has the peers %v",
				net.NameOf(id), up, ids)
		}
	}
	for _, p := range infos {
		if !told[p.ID] {
			return fmt.Sprintf("no subscriber was told that %s is up", net.NameOf(p.ID))
		}
		o := net.node(p.ID)
		if o == nil {
			continue
		}
		if !o.Running() {
			return o.Name + " is up and does not run"
		}
		back, ok := o.Host.Peer(n.ID)
		if !ok {
			return o.Name + " is up, and does not have us"
		}
		if back.Inbound == p.Inbound {
			return fmt.Sprintf("both we and %s think that inbound is %v", o.Name, p.Inbound)
		}
	}
	return ""
}

// surplus returns the first connection that is one too many or too few; "" for none.
func (net *Network) surplus() string {
	nodes := net.running()
	for i, a := range nodes {
		for _, b := range nodes[i+1:] {
			want := 0
			if a.Has(b) || b.Has(a) {
				want = 1
			}
			if at, bt := a.connectionsTo(b), b.connectionsTo(a); at != want || bt != want {
				return fmt.Sprintf("%s holds %d connections to %s, which holds %d; want %d", a.Name, at, b.Name, bt,
					want)
			}
		}
	}
	return ""
}
