package hosttest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// pause is how long a wait that began then rests before it looks again: a thousandth of what it has taken so far, so
// that hours take no more looks than minutes.
func pause(began time.Time) { time.Sleep(max(10*time.Millisecond, time.Since(began)/1000)) }

// Await waits until missing returns "", and returns how long that took. After Options.Patience it ends the test with
// what is wanted, what missing returned last, and the state of the nodes.
func (net *Network) Await(wanted string, missing func() string) time.Duration {
	net.t.Helper()
	took, why := net.wait(net.o.Patience, missing)
	if why != "" {
		net.t.Fatalf("after %v still not so: %s. %s\n%s", took, wanted, why, net)
	}
	return took
}

func (net *Network) wait(patience time.Duration, missing func() string) (took time.Duration, why string) {
	began := time.Now()
	for {
		if why = missing(); why == "" || time.Since(began) >= patience {
			return time.Since(began), why
		}
		pause(began)
	}
}

// AwaitPeers waits until a node has at least count peers.
func (net *Network) AwaitPeers(n *Node, count int) time.Duration {
	net.t.Helper()
	return net.Await(fmt.Sprintf("%s has %d peers", n.Name, count), func() string {
		if have := len(n.Peers()); have < count {
			return fmt.Sprintf("It has %d.", have)
		}
		return ""
	})
}

// AwaitNoPeers waits until a node has no peers.
func (net *Network) AwaitNoPeers(n *Node) time.Duration {
	net.t.Helper()
	return net.Await(n.Name+" has no peers", func() string {
		if peers := n.Peers(); len(peers) > 0 {
			return fmt.Sprintf("It has %s.", names(peers))
		}
		return ""
	})
}

// AwaitLink waits until two nodes are each other's peers.
func (net *Network) AwaitLink(a, b *Node) time.Duration {
	net.t.Helper()
	return net.Await(fmt.Sprintf("%s and %s are linked", a.Name, b.Name), func() string {
		switch {
		case !a.Has(b):
			return fmt.Sprintf("%s does not have %s.", a.Name, b.Name)
		case !b.Has(a):
			return fmt.Sprintf("%s does not have %s.", b.Name, a.Name)
		}
		return ""
	})
}

// AwaitNoLink waits until neither of two nodes has the other.
func (net *Network) AwaitNoLink(a, b *Node) time.Duration {
	net.t.Helper()
	return net.Await(fmt.Sprintf("%s and %s are not linked", a.Name, b.Name), func() string {
		switch {
		case a.Has(b):
			return fmt.Sprintf("%s has %s.", a.Name, b.Name)
		case b.Has(a):
			return fmt.Sprintf("%s has %s.", b.Name, a.Name)
		}
		return ""
	})
}

// AwaitConnected waits until the given nodes (none: all that run) are one network: from each there is a way to every
// other over links.
func (net *Network) AwaitConnected(nodes ...*Node) time.Duration {
	net.t.Helper()
	if len(nodes) == 0 {
		nodes = net.running()
	}
	return net.Await(fmt.Sprintf("%s are one network", names(nodes)), func() string {
		seen := map[*Node]bool{nodes[0]: true}
		for edge := []*Node{nodes[0]}; len(edge) > 0; edge = edge[1:] {
			for _, p := range edge[0].Peers() {
				if !seen[p] && p.Has(edge[0]) && slices.Contains(nodes, p) {
					seen[p] = true
					edge = append(edge, p)
				}
			}
		}
		missing := slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return seen[n] })
		if len(missing) > 0 {
			return fmt.Sprintf("From %s there is no way to %s.", nodes[0].Name, names(missing))
		}
		return ""
	})
}

// AwaitOutbound waits until each of the given nodes (none: all that run) has at least count links that it dialed, or
// has all of the others as peers, so that nobody is left to dial.
func (net *Network) AwaitOutbound(count int, nodes ...*Node) time.Duration {
	net.t.Helper()
	if len(nodes) == 0 {
		nodes = net.running()
	}
	return net.Await(fmt.Sprintf("%s have %d outbound links each", names(nodes), count), func() string {
		var short []string
		for _, n := range nodes {
			if have := n.Host.PeerManager().Counts().Outbound; have < count && len(n.Peers()) < len(nodes)-1 {
				short = append(short, fmt.Sprintf("%s has %d", n.Name, have))
			}
		}
		if len(short) > 0 {
			return strings.Join(short, ", ") + "."
		}
		return ""
	})
}

// AwaitUpdate waits until a subscriber of n has been told the status of other, after the first skip updates about it,
// and returns that update.
func (net *Network) AwaitUpdate(n, other *Node, status host.UpdateStatus, skip int) Update {
	net.t.Helper()
	what := "is up"
	if status == host.PeerDown {
		what = "is down"
	}
	var got Update
	net.Await(fmt.Sprintf("a subscriber of %s hears that %s %s", n.Name, other.Name, what), func() string {
		updates := n.Updates(other)
		for _, u := range updates[min(skip, len(updates)):] {
			if u.Status == status {
				got = u
				return ""
			}
		}
		return fmt.Sprintf("It has heard %v.", updates)
	})
	return got
}

// AwaitEvent waits for an event of a node that fits, and returns it.
func (net *Network) AwaitEvent(n *Node, what string, fits func(host.Event) bool) host.Event {
	net.t.Helper()
	var got host.Event
	net.Await(fmt.Sprintf("%s tells of an event: %s", n.Name, what), func() string {
		events := n.Events("")
		for _, e := range events {
			if fits(e) {
				got = e
				return ""
			}
		}
		return fmt.Sprintf("It has told of %d others, the last are: %s", len(events), lastEvents(events, 5))
	})
	return got
}

// AssertNoPeer fails the test if n has other as a peer, now or at any time within the next hold.
func (net *Network) AssertNoPeer(n, other *Node, hold time.Duration) {
	net.t.Helper()
	net.AssertHolds(fmt.Sprintf("%s does not have %s", n.Name, other.Name), hold, func() string {
		if n.Has(other) {
			return "It has."
		}
		return ""
	})
}

// AssertHolds fails the test if missing returns anything but "" now or within the next hold.
func (net *Network) AssertHolds(wanted string, hold time.Duration, missing func() string) {
	net.t.Helper()
	began := time.Now()
	for {
		if why := missing(); why != "" {
			net.t.Fatalf("after %v not so any more: %s. %s\n%s", time.Since(began), wanted, why, net)
		}
		if time.Since(began) >= hold {
			return
		}
		pause(began)
	}
}

// AssertNoFlap fails the test unless a subscriber of n was told exactly once of other: that it is up.
func (net *Network) AssertNoFlap(n, other *Node) {
	net.t.Helper()
	if updates := n.Updates(other); len(updates) != 1 || updates[0].Status != host.PeerUp {
		net.t.Errorf("a subscriber of %s was to hear of %s that it is up, once, and heard %v", n.Name, other.Name,
			updates)
	}
}

func (net *Network) running() []*Node {
	return slices.DeleteFunc(slices.Clone(net.Nodes), func(n *Node) bool { return !n.Running() })
}

// names lists nodes, in brief.
func names(nodes []*Node) string {
	if len(nodes) == 0 {
		return "nobody"
	}
	var b strings.Builder
	b.WriteString("nodes")
	for i := 0; i < len(nodes); i++ {
		j := i
		for j+1 < len(nodes) && nodes[j+1].Index == nodes[j].Index+1 {
			j++
		}
		sep := " "
		if i > 0 {
			sep = ", "
		}
		if j > i {
			fmt.Fprintf(&b, "%s%d-%d", sep, nodes[i].Index, nodes[j].Index)
		} else {
			fmt.Fprintf(&b, "%s%d", sep, nodes[i].Index)
		}
		i = j
	}
	return b.String()
}

// String shows the nodes: who runs, who has whom (> where the node dialed, < where it was dialed), and what happened
// last.
func (net *Network) String() string {
	var b strings.Builder
	for _, n := range net.Nodes {
		if !n.Running() {
			fmt.Fprintf(&b, "  %s (%.8s) does not run\n", n.Name, n.ID)
			continue
		}
		var peers []string
		for _, p := range n.Host.Peers() {
			arrow := ">"
			if p.Inbound {
				arrow = "<"
			}
			peers = append(peers, arrow+strings.TrimPrefix(net.NameOf(p.ID), "node "))
		}
		c := n.Host.PeerManager().Counts()
		fmt.Fprintf(&b, "  %s (%.8s): %d peers [%s], %d dials in flight, knows %d; last: %s\n", n.Name, n.ID,
			len(peers), strings.Join(peers, " "),
			c.Dialing, n.Store.Stats().Known, lastEvents(n.Events(""), 2))
	}
	return b.String()
}

func lastEvents(events []host.Event, count int) string {
	var out []string
	for _, e := range events[max(0, len(events)-count):] {
		out = append(out, fmt.Sprintf("%s %.8s %s %v", e.Kind, e.ID, e.Address, e.Reason))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "; ")
}
