package hosttest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// crossing counts the links between two parts of the network.
func crossing(left, right []*hosttest.Node) (n int) {
	there := map[*hosttest.Node]bool{}
	for _, o := range right {
		there[o] = true
	}
	for _, l := range left {
		for _, p := range l.Peers() {
			if there[p] && p.Has(l) {
				n++
			}
		}
	}
	return n
}

// assertHeals cuts the network in two for a time, and holds what follows to its bounds: one network within 10 s of the
// heal, half of the crossing links within 2 minutes, 90 % of them within 20.
func (w *world) assertHeals(cut time.Duration, mode memory.CutMode) {
	w.t.Helper()
	left, right := w.Nodes[:2*len(w.Nodes)/5], w.Nodes[2*len(w.Nodes)/5:]
	before := crossing(left, right)
	w.Cut(mode, left)
	time.Sleep(cut)
	kept := crossing(left, right)
	w.Heal()
	healed := time.Now()
	within := func(bound time.Duration, what string, done func() bool) {
		w.t.Helper()
		for !done() && time.Since(healed) < bound {
			time.Sleep(time.Second)
		}
		if done() {
			w.t.Logf("%v after the heal: %s; %d of %d crossing links (%d outlived the cut)",
				time.Since(healed), what, crossing(left, right), before, kept)
		} else {
			w.t.Errorf("%v after the heal not yet so: %s; %d parts, %d of %d crossing links (%d outlived the cut)",
				time.Since(healed), what, w.parts(), crossing(left, right), before, kept)
		}
	}
	within(10*time.Second, "one network", func() bool { return w.parts() == 1 })
	within(2*time.Minute, "half of the crossing links", func() bool { return 2*crossing(left, right) >= before })
	within(20*time.Minute, "90 % of them", func() bool { return 10*crossing(left, right) >= 9*before })
	w.t.Logf("degrees %v", w.degrees())
}

// A network that was cut in two becomes one again, and soon has its crossing links back.
func TestCutsHeal(t *testing.T) {
	for _, c := range []struct {
		nodes, outbound, inbound int
		cut                      time.Duration
		mode                     memory.CutMode
		long                     bool
	}{
		{50, 8, 40, 2 * time.Minute, memory.Stall, false},
		{20, 4, 40, 10 * time.Minute, memory.Stall, false},
		{50, 3, 40, 100 * time.Second, memory.Reset, false}, // all slots of both parts are full before the heal
		{50, 8, 40, 10 * time.Minute, memory.Stall, true},
		{50, 3, 40, 10 * time.Minute, memory.Stall, false},
		{50, 8, 40, time.Hour, memory.Stall, true},
		{100, 8, 40, 9 * time.Minute, memory.Stall, true},
		{200, 8, 40, 2 * time.Minute, memory.Stall, true},
		{200, 8, 40, 10 * time.Minute, memory.Stall, true},
		{200, 8, 40, time.Hour, memory.Stall, true},
	} {
		if c.long && !longtest.Long() {
			continue
		}
		t.Run(fmt.Sprintf("%d nodes with %d outbound, cut for %v", c.nodes, c.outbound, c.cut), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := grow(t, hosttest.Options{Nodes: c.nodes, Tune: func(_ *hosttest.Node, h *host.Config) {
					h.Peers.MaxOutbound, h.Peers.MaxInbound = c.outbound, c.inbound
				}})
				time.Sleep(time.Minute)
				w.assertOne()
				w.assertHeals(c.cut, c.mode)
			})
		})
	}
}
