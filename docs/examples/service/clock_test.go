package clock

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/switchyard-p2p/switchyard/host/hosttest"
)

// Two nodes in memory, under a virtual clock: each learns that the other's is right, and counts that it was asked.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var services []*Service
		net := hosttest.New(t, hosttest.Options{Nodes: 2, Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			s, err := New(Default(), n.Host, nil)
			services = append(services, s)
			return []hosttest.Service{s.Run}, err
		}})
		net.Nodes[0].Dial(net.Nodes[1])
		net.AwaitLink(net.Nodes[0], net.Nodes[1])
		for i, s := range services {
			all := s.Ask(t.Context())
			if len(all) != 1 || all[0].Error != "" || all[0].MS != 0 || all[0].ID != net.Nodes[1-i].ID {
				t.Errorf("node %d: %+v", i, all)
			}
		}
		for i, s := range services {
			if n := testutil.ToFloat64(s.answers); n != 1 {
				t.Errorf("node %d has answered %v times", i, n)
			}
		}
	})
}
