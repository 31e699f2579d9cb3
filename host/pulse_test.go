package host_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host/hosttest"
)

// The peer manager hears of the round trips, also when they change, over either wire.
func TestLatenciesAreKnown(t *testing.T) {
	for _, speaks := range []func(*hosttest.Node) []string{nil, libp2pOnly} {
		synctest.Test(t, func(t *testing.T) {
			net := hosttest.New(t, hosttest.Options{Plain: true, Speaks: speaks})
			a, b := net.Nodes[0], net.Nodes[1]
			net.Delay(25*time.Millisecond, 0)
			a.Dial(b)
			for _, rtt := range []time.Duration{50 * time.Millisecond, 120 * time.Millisecond} {
				net.Delay(rtt/2, 0)
				time.Sleep(11 * time.Minute)
				for _, end := range [][2]*hosttest.Node{{a, b}, {b, a}} {
					// yamux's is a mean, of which an older one counts less and less
					if st, _ := end[0].Host.PeerManager().Status(end[1].ID); st.Latency < rtt-time.Microsecond ||
						st.Latency > rtt+20*time.Millisecond {
						t.Errorf("%s: the latency is %v, want %v", end[0].Name, st.Latency, rtt)
					}
				}
			}
		})
	}
}
