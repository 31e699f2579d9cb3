package host_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Channels of these tests: nobody receives on the slow one until the test says so.
const (
	slow = 0x60
	fast = 0x61
)

// slowNet are two linked nodes with both channels; somebody receives on the fast one.
func slowNet(t *testing.T, overflow muxer.Overflow, fn func(t *testing.T, net *hosttest.Network, a, b *hosttest.Node)) {
	t.Helper()
	inNet(t, hosttest.Options{KnowFirst: true, Conditions: wan, Channels: []muxer.Channel{
		{ID: slow, ReceiveQueue: 128 << 10, Overflow: overflow}, {ID: fast}},
		Tune: func(n *hosttest.Node, c *host.Config) { c.Limits.PeerOverflow = 256 << 10 },
	}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		net.AwaitLink(a, b)
		b.Collect(fast)
		fn(t, net, a, b)
	})
}

// prompt checks that a message on the fast channel and a ping need no longer than the path does.
func prompt(t *testing.T, net *hosttest.Network, a, b *hosttest.Node) {
	t.Helper()
	began := time.Now()
	net.AssertDelivers(a, b, fast, 1, 100)
	if took := time.Since(began); took > 50*time.Millisecond {
		t.Errorf("a message on the other channel took %v", took)
	}
}

// stays checks that the link of two nodes lives on for some keep-alives.
func stays(net *hosttest.Network, a, b *hosttest.Node) {
	net.AssertHolds("the link lives on, though a service sleeps", 5*time.Minute, func() string {
		if !a.Has(b) || !b.Has(a) {
			return "It does not."
		}
		return ""
	})
	net.AssertNoFlap(a, b)
	net.AssertNoFlap(b, a)
}

// A service that sleeps delays no other channel and no keep-alive, as long as what waits for it fits its budget and the
// connection's reserve; beyond, Block pauses the connection, whose keep-alives go on. When the service wakes, it gets
// everything, in order.
func TestASleepingServiceWithBlock(t *testing.T) {
	slowNet(t, muxer.Block, func(t *testing.T, net *hosttest.Network, a, b *hosttest.Node) {
		const size, fits = 1000, 300 // beyond the inbox's 128 KiB, within the reserve of 256 KiB
		for i := range fits {
			if err := a.Channel(slow).Send(t.Context(), b.ID, hosttest.Numbered(i, size)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		prompt(t, net, a, b)
		stays(net, a, b)
		prompt(t, net, a, b)

		// A flood: the sender comes to a halt, nothing grows, the link lives.
		const flood = 5000
		sent := make(chan int, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for i := fits; i < flood; i++ {
				if err := a.Channel(slow).Send(ctx, b.ID, hosttest.Numbered(i, size)); err != nil {
					sent <- i
					return
				}
			}
			sent <- flood
		}()
		time.Sleep(time.Second)
		queued := func() int64 { info, _ := b.Host.Peer(a.ID); return info.ReceiveQueued }
		held := queued()
		if most := int64(128+256)<<10 + 2*size; held < 256<<10 || held > most {
			t.Errorf("%d bytes wait for the service, want at most %d", held, most)
		}
		stays(net, a, b)
		if now := queued(); now != held {
			t.Errorf("what waits for the service has grown from %d to %d bytes", held, now)
		}

		b.Collect(slow) // it wakes
		hosttest.AssertNumbered(t, net.AwaitMessages(b, slow, a, flood), 0, size)
		cancel()
		if n := <-sent; n != flood {
			t.Errorf("%d messages were sent, want %d", n, flood)
		}
		if n := queued(); n != 0 {
			t.Errorf("%d bytes wait after everything was received", n)
		}
		prompt(t, net, a, b)
		net.AssertTruth()
	})
}

// With Drop, what does not fit is dropped and counted, and nothing else is delayed.
func TestASleepingServiceWithDrop(t *testing.T) {
	slowNet(t, muxer.Drop, func(t *testing.T, net *hosttest.Network, a, b *hosttest.Node) {
		const size, count = 1000, 5000
		for i := range count {
			if err := a.Channel(slow).Send(t.Context(), b.ID, hosttest.Numbered(i, size)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		prompt(t, net, a, b)
		stays(net, a, b)
		info, _ := b.Host.Peer(a.ID)
		if info.InboxDropped == 0 || info.ReceiveQueued > (128+256)<<10 {
			t.Errorf("%d messages were dropped, %d bytes wait", info.InboxDropped, info.ReceiveQueued)
		}
		b.Collect(slow)
		kept := count - int(info.InboxDropped)
		hosttest.AssertNumbered(t, net.AwaitMessages(b, slow, a, kept), 0, size) // the newest were dropped
		net.AssertDelivers(a, b, slow, 10, size)
		if now, _ := b.Host.Peer(a.ID); now.InboxDropped != info.InboxDropped || now.ReceiveQueued != 0 {
			t.Errorf("after the service woke: %d dropped, %d bytes wait", now.InboxDropped, now.ReceiveQueued)
		}
		net.AssertTruth()
	})
}

// With Disconnect, the peer that overruns the service loses its link, and with that reason.
func TestASleepingServiceWithDisconnect(t *testing.T) {
	slowNet(t, muxer.Disconnect, func(t *testing.T, net *hosttest.Network, a, b *hosttest.Node) {
		for i := range 300 {
			if err := a.Channel(slow).Send(t.Context(), b.ID, hosttest.Numbered(i, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		prompt(t, net, a, b)
		stays(net, a, b)
		for i := range 1000 {
			if err := a.Channel(slow).Send(t.Context(), b.ID, hosttest.Numbered(300+i, 1000)); err != nil {
				break
			}
		}
		u := net.AwaitUpdate(b, a, host.PeerDown, 0)
		if u.Reason.Code != muxer.CodeOverflow || u.Reason.Remote {
			t.Errorf("the link ended for %v", u.Reason)
		}
		b.Collect(slow) // what had fitted is not lost
		got := net.AwaitMessages(b, slow, a, 300)
		hosttest.AssertNumbered(t, got, 0, 1000)
		net.AwaitLink(a, b)
		net.AssertDelivers(a, b, slow, 10, 1000)
		net.AssertTruth()
	})
}

// A subscriber that does not listen delays nobody. When it does at last, it hears the latest state of each peer, once.
func TestASleepingSubscriberDelaysNobody(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 9, KnowFirst: true, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
		a := net.Nodes[0]
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sleeper := a.Host.Subscribe(ctx)
		net.AwaitPeers(a, 8)
		for _, n := range net.Nodes[1:5] {
			for range 5 {
				n.Restart()
				if took := net.AwaitLink(a, n); took > time.Second {
					t.Errorf("%s was back only after %v", n.Name, took)
				}
			}
		}
		net.Nodes[8].Stop()
		net.AwaitNoLink(a, net.Nodes[8])
		net.AssertTruth()
		heard := map[transport.NodeID]int{}
		for range 7 {
			u, err := sleeper.Next(ctx)
			if err != nil || u.Status != host.PeerUp {
				t.Fatalf("the sleeper hears %v, %v", u, err)
			}
			heard[u.ID]++
		}
		for _, n := range net.Nodes[1:8] {
			if heard[n.ID] != 1 {
				t.Errorf("the sleeper heard of %s %d times", n.Name, heard[n.ID])
			}
		}
		short, stop := context.WithTimeout(ctx, time.Second)
		if u, err := sleeper.Next(short); err == nil {
			t.Errorf("the sleeper heard one more: %v", u)
		}
		stop()
	})
}

// A service that panics takes its channel down, and nothing else: not the node, not the link, not another channel, not
// the sender.
func TestAServiceThatPanicsTakesOnlyItsChannelDown(t *testing.T) {
	for _, overflow := range []muxer.Overflow{muxer.Block, muxer.Drop, muxer.Disconnect} {
		t.Run(overflow.String(), func(t *testing.T) {
			slowNet(t, overflow, func(t *testing.T, net *hosttest.Network, a, b *hosttest.Node) {
				served := make(chan error, 1)
				go func() {
					served <- b.Channel(slow).Serve(t.Context(), func(_ context.Context, e host.Envelope) error {
						if string(e.Message) == "boom" {
							panic("boom")
						}
						return nil
					})
				}()
				for _, m := range []string{"one", "boom", "two"} {
					if err := a.Channel(slow).Send(t.Context(), b.ID, []byte(m)); err != nil {
						t.Fatal(err)
					}
				}
				if err := <-served; err == nil || !strings.Contains(err.Error(), "boom") {
					t.Errorf("Serve returned %v", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for i := range 2000 { // far beyond all budgets: it is dropped, whatever the policy
					if err := a.Channel(slow).Send(ctx, b.ID, hosttest.Numbered(i, 1000)); err != nil {
						t.Fatalf("message %d: %v", i, err)
					}
				}
				time.Sleep(time.Second)
				prompt(t, net, a, b)
				if info, _ := b.Host.Peer(a.ID); info.ReceiveQueued != 0 {
					t.Errorf("%d bytes wait for a channel that is down", info.ReceiveQueued)
				}
				stays(net, a, b)
				net.AssertTruth()
			})
		})
	}
}

// A broadcast reaches every peer at once, however slow one of them is, and does not wait itself.
func TestABroadcastIsNotHeldUpByASlowPeer(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 9, KnowFirst: true, Conditions: wan,
		Channels: []muxer.Channel{{ID: fast, SendQueue: 64 << 10}}},
		func(t *testing.T, net *hosttest.Network) {
			a, dead, others := net.Nodes[0], net.Nodes[8], net.Nodes[1:8]
			net.AwaitPeers(a, 8)
			for _, n := range others {
				n.Collect(fast)
			}
			net.Between(a, dead, memory.Conditions{Down: true})
			const size, count = 10_000, 100
			least := 8
			for i := range count {
				began := time.Now()
				n := a.Channel(fast).Broadcast(hosttest.Numbered(i, size))
				least = min(least, n)
				if n < 7 {
					t.Fatalf("broadcast %d was taken by %d peers", i, n)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("broadcast %d took %v", i, took)
				}
				time.Sleep(40 * time.Millisecond)
				for _, o := range others {
					// all but perhaps the latest, which may still be under way
					if got := len(o.Messages(fast, a)); got < i {
						t.Fatalf("%v after broadcast %d %s has received %d", time.Since(began), i, o.Name, got)
					}
				}
			}
			if least != 7 {
				t.Error("the dead peer took everything: the test tests nothing")
			}
			for _, o := range others {
				hosttest.AssertNumbered(t, net.AwaitMessages(o, fast, a, count), 0, size)
			}
			net.AwaitNoLink(a, dead) // its keep-alives stay unanswered
			if u := net.AwaitUpdate(a, dead, host.PeerDown, 0); u.Reason.Code != muxer.CodeIdle &&
				u.Reason.Code != muxer.CodeTimeout {
				t.Errorf("the dead peer's link ended for %v", u.Reason)
			}
		})
}

// Messages of a channel arrive once, whole and in order, over slow and lossy paths, while other channels and peers send
// too.
func TestMessagesArriveInOrder(t *testing.T) {
	sizes := map[byte]int{fast: 100, slow: 5000, 0x62: 200_000}
	inNet(t, hosttest.Options{Nodes: 4, KnowFirst: true,
		Channels: []muxer.Channel{{ID: fast, Priority: 10}, {ID: slow}, {ID: 0x62}},
		Conditions: memory.Conditions{Latency: 10 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.01,
			Bandwidth: 10 << 20}},
		func(t *testing.T, net *hosttest.Network) {
			a, others := net.Nodes[0], net.Nodes[1:]
			for _, o := range others {
				net.AwaitLink(a, o)
			}
			done := make(chan error)
			const count = 40
			for _, n := range net.Nodes {
				for id := range sizes {
					n.Collect(id)
				}
			}
			senders := 0
			for _, o := range others {
				for id, size := range sizes {
					for _, way := range [][2]*hosttest.Node{{a, o}, {o, a}} {
						senders++
						go func() {
							for i := range count {
								if err := way[0].Channel(id).Send(t.Context(), way[1].ID,
									hosttest.Numbered(i, size)); err != nil {
									done <- err
									return
								}
							}
							done <- nil
						}()
					}
				}
			}
			for range senders {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			for _, o := range others {
				for id, size := range sizes {
					hosttest.AssertNumbered(t, net.AwaitMessages(o, id, a, count), 0, size)
					hosttest.AssertNumbered(t, net.AwaitMessages(a, id, o, count), 0, size)
				}
			}
			net.AssertTruth()
		})
}

// The messages that wait for services are bounded over all peers: links pause instead of memory growing, and all of it
// arrives when the services wake.
func TestMessageMemoryIsBounded(t *testing.T) {
	const limit, size, count = 512 << 10, 1000, 500
	metrics := prometheus.NewRegistry()
	inNet(t, hosttest.Options{Nodes: 7, KnowFirst: true, Channels: []muxer.Channel{{ID: slow}, {ID: fast}},
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Limits.MessageMemory, c.Metrics = limit, metrics
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, others := net.Nodes[0], net.Nodes[1:]
		for _, o := range others {
			net.AwaitLink(a, o)
		}
		for _, o := range others {
			go func() {
				for i := range count {
					if err := o.Channel(slow).Send(t.Context(), a.ID, hosttest.Numbered(i, size)); err != nil &&
						!errors.Is(err, context.Canceled) {
						t.Errorf("%s: message %d: %v", o.Name, i, err)
						return
					}
				}
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		used := gauge(t, metrics, "switchyard_message_memory_bytes")
		if used < limit/2 || used > limit+float64(len(others))*2*size {
			t.Errorf("%.0f bytes wait for services, the limit is %d", used, limit)
		}
		if pauses := gauge(t, metrics, "switchyard_link_pauses_total"); pauses == 0 {
			t.Error("no link was paused")
		}
		time.Sleep(3 * time.Minute)
		if now := gauge(t, metrics, "switchyard_message_memory_bytes"); now != used {
			t.Errorf("the memory has gone from %.0f to %.0f bytes", used, now)
		}
		a.Collect(slow)
		for _, o := range others {
			hosttest.AssertNumbered(t, net.AwaitMessages(a, slow, o, count), 0, size)
			net.AssertNoFlap(a, o)
		}
		if left := gauge(t, metrics, "switchyard_message_memory_bytes"); left != 0 {
			t.Errorf("%.0f bytes are still counted after everything was received", left)
		}
		net.AssertTruth()
	})
}

// gauge is the value of a metric, summed over its labels.
func gauge(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			sum := 0.0
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
			return sum
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
