package hosttest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
)

// A network goes on when the node that all knew first dies, and when 30 % of its nodes die; those that come back are
// soon where they were.
func TestNodesDie(t *testing.T) {
	for _, c := range []struct {
		nodes int
		long  bool
	}{{30, false}, {50, true}, {200, true}} {
		if c.long && !longtest.Long() {
			continue
		}
		t.Run(fmt.Sprint(c.nodes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := grow(t, hosttest.Options{Nodes: c.nodes})
				w.assertFormed(40)

				w.Nodes[0].Crash()
				time.Sleep(2 * time.Minute) // until the silence shows
				w.assertFormed(40)
				w.assertOne()
				late := w.Nodes[1] // which knows the others by now
				late.Restart()
				w.assertFormed(40)

				dead := w.Nodes[2 : 2+3*c.nodes/10]
				for _, n := range dead {
					n.Crash()
				}
				time.Sleep(2 * time.Minute)
				w.assertFormed(40)
				w.assertOne()
				for _, n := range dead {
					n.Start()
				}
				w.assertFormed(40)
				w.assertOne()
			})
		})
	}
}

// assertOne checks that the nodes that run are one network.
func (w *world) assertOne() {
	w.t.Helper()
	if parts := w.parts(); parts != 1 {
		w.t.Errorf("%d networks:\n%s", parts, w)
	}
}
