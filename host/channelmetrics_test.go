package host_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// What went over a channel is counted on both ends, also after the link has ended; what waits for a service is in the
// queue until it is received.
func TestChannelMetrics(t *testing.T) {
	const one, two, size, count = 0x11, 0x12, 100, 50
	registries := [2]*prometheus.Registry{prometheus.NewRegistry(), prometheus.NewRegistry()}
	inNet(t, hosttest.Options{Nodes: 2, KnowFirst: true, Channels: []muxer.Channel{{ID: one}, {ID: two}},
		Tune: func(n *hosttest.Node, c *host.Config) { c.Metrics = registries[n.Index] },
	}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		net.AwaitLink(a, b)
		for i := range count {
			if err := b.Channel(one).Send(t.Context(), a.ID, hosttest.Numbered(i, size)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		value := func(r *prometheus.Registry, name, channel, direction string) float64 {
			t.Helper()
			families, err := r.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					l := m.GetLabel()
					if f.GetName() == name && l[0].GetValue() == channel && l[1].GetValue() == direction {
						return m.GetCounter().GetValue() + m.GetGauge().GetValue()
					}
				}
			}
			t.Fatalf("no %s of channel %s, %s", name, channel, direction)
			return 0
		}
		check := func(what string) {
			t.Helper()
			for i, direction := range []string{"received", "sent"} {
				r := registries[i]
				if n := value(r, "switchyard_channel_messages_total", "0x11", direction); n != count {
					t.Errorf("%s: %v messages %s, want %d", what, n, direction, count)
				}
				if n := value(r, "switchyard_channel_bytes_total", "0x11", direction); n != count*size {
					t.Errorf("%s: %v bytes %s, want %d", what, n, direction, count*size)
				}
				if n := value(r, "switchyard_channel_messages_total", "0x12", direction); n != 0 {
					t.Errorf("%s: %v messages %s on a channel that nobody used", what, n, direction)
				}
			}
		}
		check("while the link is up")
		if n := value(registries[0], "switchyard_channel_queued_bytes", "0x11", "received"); n < count*size {
			t.Errorf("%v bytes wait to be received, want %d and more", n, count*size)
		}
		a.Collect(one)
		hosttest.AssertNumbered(t, net.AwaitMessages(a, one, b, count), 0, size)
		if n := value(registries[0], "switchyard_channel_queued_bytes", "0x11", "received"); n != 0 {
			t.Errorf("%v bytes wait, and all were received", n)
		}
		a.Host.Disconnect(b.ID, muxer.CodeRequested, "a test")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		check("after the link")
	})
}
