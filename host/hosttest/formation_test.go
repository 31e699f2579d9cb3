package hosttest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Scenarios of whole networks: every node knows one ordinary node, Nodes[0], and peer exchange does the rest. The same
// bounds hold for real processes on an emulated WAN (make wan).

// wide is a network across continents.
var wide = memory.Conditions{Latency: 60 * time.Millisecond, Jitter: 40 * time.Millisecond, Loss: 0.01}

// slots is how many outbound links a node wants.
const slots = 8

// world is such a network.
type world struct {
	*hosttest.Network
	t *testing.T
}

// grow starts Nodes[0] and then the others, five a second.
func grow(t *testing.T, o hosttest.Options) *world {
	t.Helper()
	o.KnowFirst, o.Plain, o.Stopped, o.Conditions = true, true, true, wide
	o.Services = func(n *hosttest.Node) ([]hosttest.Service, error) {
		src, err := pex.New(pex.Config{}, discovery.Env{OpenChannel: n.Host.OpenChannel})
		return []hosttest.Service{func(ctx context.Context) error { return src.Run(ctx, n.Host, n.Found("pex")) }}, err
	}
	w := &world{hosttest.New(t, o), t}
	for _, n := range w.Nodes {
		n.Start()
		time.Sleep(200 * time.Millisecond)
	}
	return w
}

// alone returns the running nodes without a peer.
func (w *world) alone() (out []string) {
	for _, n := range w.Nodes {
		if n.Running() && len(n.Peers()) == 0 {
			out = append(out, n.Name)
		}
	}
	return out
}

// outbound returns how many outbound links a node has.
func outbound(n *hosttest.Node) int { return n.Host.PeerManager().Counts().Outbound }

// short returns the running nodes that have fewer outbound links than they want, though one that is not their peer and
// shares a wire with them has an inbound slot free.
func (w *world) short(inbound int) (out []string) {
	var free []*hosttest.Node
	for _, n := range w.Nodes {
		if n.Running() && n.Host.PeerManager().Counts().Inbound < inbound {
			free = append(free, n)
		}
	}
	for _, n := range w.Nodes {
		if !n.Running() || outbound(n) >= slots {
			continue
		}
		peers := n.Peers()
		can := func(o *hosttest.Node) bool {
			return o != n && !slices.Contains(peers, o) && slices.ContainsFunc(o.Speaks(),
				func(wire string) bool { return slices.Contains(n.Speaks(), wire) })
		}
		if slices.ContainsFunc(free, can) {
			out = append(out, fmt.Sprintf("%s has %d", n.Name, outbound(n)))
		}
	}
	return out
}

// degrees returns the least, the median and the largest number of peers.
func (w *world) degrees() [3]int {
	var d []int
	for _, n := range w.Nodes {
		if n.Running() {
			d = append(d, len(n.Peers()))
		}
	}
	slices.Sort(d)
	return [3]int{d[0], d[len(d)/2], d[len(d)-1]}
}

// parts counts the networks that there are.
func (w *world) parts() int {
	parts := 0
	seen := map[*hosttest.Node]bool{}
	for _, n := range w.Nodes {
		if seen[n] || !n.Running() {
			continue
		}
		parts++
		seen[n] = true
		for edge := []*hosttest.Node{n}; len(edge) > 0; edge = edge[1:] {
			for _, p := range edge[0].Peers() {
				if !seen[p] && p.Has(edge[0]) {
					seen[p] = true
					edge = append(edge, p)
				}
			}
		}
	}
	return parts
}

// assertFormed holds a network that has just started to its bounds: 30 s later nobody is alone, and 60 s later all that
// can have their outbound links have them.
func (w *world) assertFormed(inbound int) {
	w.t.Helper()
	began := time.Now()
	for len(w.alone()) > 0 && time.Since(began) < 30*time.Second {
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Logf("nobody alone %v after the last start", time.Since(began))
	if alone := w.alone(); len(alone) > 0 {
		w.t.Errorf("30 s after the last start %d are alone: %v", len(alone), alone)
	}
	for len(w.short(inbound)) > 0 && time.Since(began) < time.Minute {
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Logf("all full %v after the last start; degrees %v", time.Since(began), w.degrees())
	if short := w.short(inbound); len(short) > 0 {
		w.t.Errorf("60 s after the last start %d have fewer outbound links than they could: %v", len(short), short)
	}
}

// The wires that nodes speak: one, the other, or both, one and the other in turn.
var wireSets = map[string]func(*hosttest.Node) []string{
	"comet":  nil,
	"libp2p": func(*hosttest.Node) []string { return []string{transport.WireLibp2p} },
	"mixed": func(n *hosttest.Node) []string {
		return [][]string{{transport.WireComet, transport.WireLibp2p}, {transport.WireLibp2p},
			{transport.WireComet}}[n.Index%3]
	},
}

// A network that begins with one ordinary node forms: at the default limits, and with fewer inbound slots than its
// nodes want to take.
func TestFormation(t *testing.T) {
	for _, c := range []struct {
		nodes, inbound int
		wires          string
		long           bool
	}{
		{20, 6, "comet", false},
		{20, 6, "libp2p", false},
		{20, 6, "mixed", false},
		{50, 40, "mixed", false},
		{200, 40, "comet", false},
		{50, 40, "comet", true},
		{200, 40, "mixed", true},
		{200, 40, "libp2p", true},
		{200, 6, "mixed", true},
		{1000, 40, "comet", true},
		{1000, 40, "mixed", true},
	} {
		if c.long && !longtest.Long() {
			continue
		}
		t.Run(fmt.Sprintf("%d %s with %d inbound", c.nodes, c.wires, c.inbound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := grow(t, hosttest.Options{Nodes: c.nodes, Speaks: wireSets[c.wires],
					Tune: func(_ *hosttest.Node, h *host.Config) { h.Peers.MaxInbound = c.inbound }})
				w.assertFormed(c.inbound)
				w.AwaitConnected()
			})
		})
	}
}
