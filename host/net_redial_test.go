package host_test

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A peer that has crashed and is back dials us while we still have the old link, which nobody has told us is dead: it
// is a peer again at once, in the same slot, and subscribers hear that it went and came.
func TestAPeerThatHasRebootedReplacesItsOldLink(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 3, KnowFirst: true, Conditions: wan, Tune: func(n *hosttest.Node, c *host.Config) {
		if n.Index == 0 {
			c.Peers.MaxInbound, c.Peers.MaxOutbound = 2, -1
		}
	}}, func(t *testing.T, net *hosttest.Network) {
		a, b, other := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		net.AwaitLink(a, b)
		net.AwaitLink(a, other)
		a.Collect(hosttest.TestChannel)
		for range 3 {
			time.Sleep(10 * time.Second)
			seen := len(a.Updates(b))
			b.Crash()
			time.Sleep(time.Second)
			b.Start()
			down := net.AwaitUpdate(a, b, host.PeerDown, seen)
			if down.Reason.Code != muxer.CodeDuplicate || down.Reason.Reason != "replaced by a newer link" {
				t.Errorf("the old link ended for %v", down.Reason)
			}
			up := net.AwaitUpdate(a, b, host.PeerUp, seen)
			if up.At != down.At || len(a.Updates(b)) != seen+2 {
				t.Errorf("a subscriber heard %v", a.Updates(b)[seen:])
			}
			if took := net.AwaitLink(a, b); took > time.Second {
				t.Errorf("linked only after %v", took)
			}
			b.Collect(hosttest.TestChannel)
			net.AssertDelivers(a, b, hosttest.TestChannel, 10, 100)
			net.AssertDelivers(b, a, hosttest.TestChannel, 10, 100)
			net.AssertTruth()
		}
		net.AssertNoFlap(a, other)
		net.AssertHolds("the links stay", 10*time.Minute, func() string {
			if len(a.Peers()) != 2 {
				return "One has gone."
			}
			return ""
		})
		if n := len(a.Events(host.EventDown)); n != 3 {
			t.Errorf("%d links ended, want 3", n)
		}
	})
}

// Within the first seconds of a link another one counts as the other half of a simultaneous dial: it is refused, and
// the old one stays.
func TestAYoungLinkIsNotReplaced(t *testing.T) {
	inNet(t, hosttest.Options{KnowFirst: true, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		net.AwaitLink(a, b)
		b.Crash()
		b.Start()
		net.AwaitEvent(a, "a duplicate is refused", func(e host.Event) bool {
			return e.Kind == host.EventRefused && e.Inbound && e.Reason.Code == muxer.CodeDuplicate
		})
		net.AssertNoFlap(a, b)
		if took := net.AwaitLink(a, b); took > 15*time.Second {
			t.Errorf("linked only after %v", took)
		}
		net.AssertTruth()
	})
}
