package host_test

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A peer's channels have counters and rates of their own. A rate follows what is sent within seconds, whether somebody
// looks or not, and forgets it.
func TestChannelsAreMeasured(t *testing.T) {
	for _, wire := range []string{"comet", "libp2p"} {
		o := hosttest.Options{Plain: true, Speaks: func(*hosttest.Node) []string { return []string{wire} },
			Channels: []muxer.Channel{{ID: 1, Name: "/one", Priority: 7, SendQueue: 5000}, {ID: 2, Name: "/two"}}}
		inNet(t, o, func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			b.Collect(1)
			a.Dial(b)
			synctest.Wait()
			for range 400 { // 10,000 bytes a second for 40 s
				if err := a.Channel(1).Send(t.Context(), b.ID, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			near := func(got, want float64) bool { return math.Abs(got-want) < want/20 }
			one := func(p host.PeerInfo, id byte) host.ChannelInfo {
				i := slices.IndexFunc(p.PerChannel, func(c host.ChannelInfo) bool { return c.ID == id })
				if len(p.PerChannel) != 2 || i < 0 {
					t.Fatalf("over %s: %+v", wire, p.PerChannel)
				}
				return p.PerChannel[i]
			}
			out, _ := a.Host.Peer(b.ID)
			in, _ := b.Host.Peer(a.ID)
			c, d := one(out, 1), one(in, 1)
			if c.Priority != 7 || c.SendQueueCapacity != 5000 || c.SentMessages != 400 || c.SentBytes != 400_000 ||
				c.ReceivedBytes != 0 || !near(c.SendRate, 10_000) || c.ReceiveRate != 0 {
				t.Errorf("over %s, sent: %+v", wire, c)
			}
			if d.ReceivedMessages != 400 || d.ReceivedBytes != 400_000 || d.SentBytes != 0 ||
				!near(d.ReceiveRate, 10_000) || d.SendRate != 0 {
				t.Errorf("over %s, received: %+v", wire, d)
			}
			if other := one(out, 2); other.SentMessages != 0 || other.SendRate != 0 {
				t.Errorf("over %s, the other channel: %+v", wire, other)
			}
			if out.SendRate < 9_500 || out.SendRate > 11_500 || in.ReceiveRate < 9_500 || in.ReceiveRate > 11_500 {
				t.Errorf("over %s the connection sends %v and receives %v", wire, out.SendRate, in.ReceiveRate)
			}
			again, _ := a.Host.Peer(b.ID) // at the same moment
			if one(again, 1) != c {
				t.Errorf("over %s: %+v, and at once %+v", wire, c, one(again, 1))
			}
			time.Sleep(time.Minute)
			out, _ = a.Host.Peer(b.ID)
			if c := one(out, 1); c.SendRate > 30 || out.SendRate > 100 {
				t.Errorf("over %s, a minute later: %v, %v", wire, c.SendRate, out.SendRate)
			}
		})
	}
}
