package hosttest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// complaint returns what fn says against the network, as a failing test would.
func complaint(t *testing.T, net *Network, fn func()) string {
	t.Helper()
	r := &recorder{TB: t}
	was := net.t
	net.t = r
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
	net.t = was
	return strings.Join(r.said, "\n")
}

// Each assertion fails where it should, and its text says who lacks what.
func TestAssertionsSayWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t, Options{Nodes: 4, Patience: time.Minute})
		a, b, c, d := net.Nodes[0], net.Nodes[1], net.Nodes[2], net.Nodes[3]
		a.Dial(b)
		net.AwaitLink(a, b)
		b.Collect(TestChannel)
		stopped := net.Add()
		stopped.Stop()
		for _, x := range []struct {
			name string
			do   func()
			want []string
		}{
			{"AwaitPeers", func() { net.AwaitPeers(a, 2) },
				[]string{"after 1m", "node 0 has 2 peers", "It has 1.", "node 0 (", "[>1]", "node 1 (", "[<0]",
					"node 4 (", "does not run"}},
			{"AwaitNoPeers", func() { net.AwaitNoPeers(a) }, []string{"node 0 has no peers", "nodes 1"}},
			{"AwaitLink", func() { net.AwaitLink(a, c) },
				[]string{"node 0 and node 2 are linked", "node 0 does not have node 2"}},
			{"AwaitNoLink", func() { net.AwaitNoLink(a, b) }, []string{"node 0 has node 1"}},
			{"AwaitConnected", func() { net.AwaitConnected() },
				[]string{"nodes 0-3 are one network", "no way to nodes 2-3"}},
			{"AwaitOutbound", func() { net.AwaitOutbound(1, a, b, c) },
				[]string{"nodes 0-2 have 1 outbound links each", "node 1 has 0, node 2 has 0"}},
			{"AwaitUpdate", func() { net.AwaitUpdate(a, b, host.PeerDown, 0) },
				[]string{"a subscriber of node 0 hears that node 1 is down", "up, channels 70"}},
			{"AwaitEvent", func() { net.AwaitEvent(a, "a miracle", func(host.Event) bool { return false }) },
				[]string{"a miracle", "told of 1 others", "peer-up"}},
			{"AssertNoPeer", func() { net.AssertNoPeer(a, b, time.Hour) },
				[]string{"after 0s not so any more: node 0 does not have node 1"}},
			{"AssertNoFlap", func() { net.AssertNoFlap(a, c) },
				[]string{"was to hear of node 2 that it is up, once, and heard []"}},
			{"AwaitMessages", func() { net.AwaitMessages(b, TestChannel, a, 3) },
				[]string{"node 1 has received 3 messages on channel 0x70", "It has 0."}},
			{"AssertDelivers", func() { net.AssertDelivers(a, c, TestChannel, 3, 10) },
				[]string{"node 0 sends message 0 of 3 to node 2: not connected"}},
			{"AssertDelivers too much", func() {
				if !a.Channels[0].TrySend(b.ID, Numbered(700, 11)) {
					t.Error("not sent")
				}
				net.AssertDelivers(a, b, TestChannel, 3, 10)
			}, []string{"the message at place 0 is number 700", "want number 0, 10 bytes"}},
			{"Channel", func() { a.Channel(0x99) }, []string{"node 0 has no channel 0x99"}},
			{"Start", func() { a.Start() }, []string{"node 0 runs already"}},
			{"Dial", func() { a.Dial(stopped) }, []string{"node 0 dials node 4: ", "connection refused"}},
		} {
			said := complaint(t, net, x.do)
			for _, want := range x.want {
				if !strings.Contains(said, want) {
					t.Errorf("%s says %q; want it to say %q", x.name, said, want)
				}
			}
		}
		net.AssertTruth()
		net.AssertOneLinkPerPeer()

		// Lies: a subscriber that was told of a peer that is not there, and a connection beside the link.
		c.mu.Lock()
		c.updates = append(c.updates, Update{time.Now(), host.PeerUpdate{ID: d.ID, Status: host.PeerUp}})
		c.mu.Unlock()
		if said := complaint(t, net, net.AssertTruth); !strings.Contains(said,
			"node 2: a subscriber was told last of node 3 that it is up: true") {
			t.Errorf("AssertTruth says %q", said)
		}
		raw, err := (&machine{a.memory, a}).Dial(t.Context(), d.Address().Multiaddr())
		if err != nil {
			t.Fatal(err)
		}
		if said := complaint(t, net, net.AssertOneLinkPerPeer); !strings.Contains(said,
			"node 0 holds 1 connections to node 3") {
			t.Errorf("AssertOneLinkPerPeer says %q", said)
		}
		_ = raw.Close()
		net.AssertOneLinkPerPeer()
	})
}

// A node that restarts has its key and its store: it finds its peers by itself.
func TestRestartKeepsKeyAndStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t, Options{Conditions: memory.Conditions{Latency: 50 * time.Millisecond}})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Learn(b)
		if took := net.AwaitLink(a, b); took < 200*time.Millisecond || took > time.Second {
			t.Errorf("linked after %v", took)
		}
		time.Sleep(time.Minute)
		before := a.Host
		a.Restart()
		if a.Host == before || a.Host.Self() != a.ID {
			t.Error("it is not a new host with the old key")
		}
		net.AwaitLink(a, b)
		net.AssertTruth()
	})
}

// A crash is silent: the peer notices by its keep-alives only.
func TestACrashIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t, Options{Conditions: memory.Conditions{Latency: 5 * time.Millisecond}})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		b.Crash()
		crashed := time.Now()
		u := net.AwaitUpdate(a, b, host.PeerDown, 0)
		if u.Reason.Code != muxer.CodeIdle || time.Since(crashed) < 45*time.Second {
			t.Errorf("%v after the crash: %v", time.Since(crashed), u.Reason)
		}
		b.Start()
		net.AwaitLink(a, b)
		net.AssertTruth()
	})
}

func TestCutBreakDelayAndLose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t, Options{Nodes: 3, KnowFirst: true, Plain: true})
		a, b, c := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		net.AwaitLink(a, b)
		net.AwaitLink(a, c)
		net.Cut(memory.Reset, []*Node{a, b})
		if took := net.AwaitNoLink(a, c); took > time.Second {
			t.Errorf("the link across the cut ended after %v", took)
		}
		net.AssertNoFlap(a, b)
		net.Heal()
		net.AwaitLink(a, c)
		seen := len(a.Updates(b))
		net.Break(a, b)
		net.AwaitUpdate(a, b, host.PeerDown, seen)
		net.AwaitLink(a, b)
		net.Delay(time.Second, 0)
		net.Lose(0.05)
		b.Collect(TestChannel)
		began := time.Now()
		net.AssertDelivers(a, b, TestChannel, 100, 1000)
		if took := time.Since(began); took < 3*time.Second {
			t.Errorf("100 kB over a slow path with much loss took %v", took)
		}
		if got := net.NameOf(c.ID) + net.NameOf(transport.NodeID("x")); got != "node 2x" {
			t.Errorf("names: %s", got)
		}
	})
}

// It works with the real clock, too.
func TestWithTheRealClock(t *testing.T) {
	net := New(t, Options{Nodes: 4, KnowFirst: true})
	net.AwaitConnected()
	net.Nodes[1].Collect(TestChannel)
	net.AssertDelivers(net.Nodes[0], net.Nodes[1], TestChannel, 10, 100)
	net.AssertTruth()
}
