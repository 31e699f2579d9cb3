package host_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// What Peers, Status, the store's totals and the metrics say agrees with what the router has, on each node and at each
// moment, while nodes crash and come back, the network is cut and heals, peers are banned and reported, and feelers,
// churn and newcomers take their turns. Half of the looks are taken in the middle of it, half when all goroutines rest.
func TestViewsAgreeUnderChurn(t *testing.T) {
	const nodes, rounds = 12, 400
	registries := make([]*prometheus.Registry, nodes)
	inNet(t, hosttest.Options{Nodes: nodes, KnowFirst: true, Conditions: wan, Plain: true, Services: withPEX,
		Speaks: func(n *hosttest.Node) []string {
			return [][]string{{transport.WireComet}, {transport.WireLibp2p},
				{transport.WireComet, transport.WireLibp2p}}[n.Index%3]
		},
		IP: func(i int) netip.Addr { return netip.AddrFrom4([4]byte{80, byte(i % 5), byte(i), 1}) }, // crowds
		Tune: func(n *hosttest.Node, c *host.Config) {
			registries[n.Index] = prometheus.NewRegistry()
			c.Metrics = registries[n.Index]
			c.Peers.MaxOutbound, c.Peers.MaxInbound, c.Peers.Feelers, c.Peers.Churn = 3, 3, 20*time.Second,
				3*time.Minute
			if n.Index == 1 {
				c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 4)}
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		watching, stop := make(chan struct{}), make(chan struct{})
		go func() { // in the middle of things
			defer close(watching)
			rng := rand.New(rand.NewPCG(2, 2))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rng.Int64N(int64(40 * time.Millisecond)))):
				}
				if n := net.Nodes[rng.IntN(nodes)]; n.Running() {
					if why := n.Host.Untruth(); why != "" {
						t.Errorf("%s: %s", n.Name, why)
						return
					}
				}
			}
		}()
		defer func() {
			close(stop)
			<-watching
		}()
		rng := rand.New(rand.NewPCG(1, 1))
		for round := range rounds {
			what := disturb(t, net, rng)
			time.Sleep(time.Duration(rng.Int64N(int64([]time.Duration{time.Millisecond, 100 * time.Millisecond,
				2 * time.Second, 20 * time.Second}[rng.IntN(4)]))))
			synctest.Wait()
			for i, n := range net.Nodes {
				if !n.Running() {
					continue
				}
				why := n.Host.UntruthAtRest()
				if why == "" {
					why = mismeasured(n, registries[i])
				}
				if why != "" {
					t.Fatalf("round %d, after %s: %s: %s\n%s", round, what, n.Name, why, net)
				}
			}
		}
		net.Heal()
		for _, n := range net.Nodes {
			if !n.Running() {
				n.Start()
			}
		}
		happened := map[string]int{}
		for _, n := range net.Nodes {
			for _, e := range n.Events("") {
				happened[string(e.Kind)]++
				if e.Kind == host.EventDown {
					happened[e.Reason.Code.String()]++
				}
			}
		}
		t.Log(happened)
		for _, what := range []string{"peer-up", "peer-down", "dial-failed", "refused", "banned", "misbehaved",
			"requested"} {
			if happened[what] == 0 {
				t.Errorf("it never happened: %s", what)
			}
		}
	})
}

// disturb does something to the network.
func disturb(t *testing.T, net *hosttest.Network, rng *rand.Rand) string {
	n, o := net.Nodes[rng.IntN(len(net.Nodes))], net.Nodes[rng.IntN(len(net.Nodes))]
	if !n.Running() {
		if rng.IntN(3) == 0 {
			n.Start()
			return n.Name + " started"
		}
		return "nothing"
	}
	m := n.Host.PeerManager()
	switch rng.IntN(14) {
	case 0:
		n.Stop()
		return n.Name + " stopped"
	case 1:
		n.Crash()
		return n.Name + " crashed"
	case 2:
		n.Restart()
		return n.Name + " restarted"
	case 3:
		net.Cut(memory.Stall, []*hosttest.Node{n, o})
		return n.Name + " and " + o.Name + " were cut off"
	case 4, 5:
		net.Heal()
		return "the network healed"
	case 6:
		_ = m.Ban(peerstore.Target{ID: o.ID}, time.Now().Add(time.Minute), "a test")
		return n.Name + " banned " + o.Name
	case 7:
		_ = m.Ban(peerstore.Target{Prefix: netip.PrefixFrom(o.IP(), 24).Masked()}, time.Now().Add(time.Minute),
			"a test")
		return n.Name + " banned the network of " + o.Name
	case 8:
		m.Report(o.ID, host.Behaviour{Severity: host.Severity(rng.IntN(4)), Reason: "a test"})
		return n.Name + " reported " + o.Name
	case 9:
		m.Report(o.ID, host.Behaviour{Points: 60})
		return n.Name + " praised " + o.Name
	case 10:
		m.Disconnect(o.ID, nil)
		return n.Name + " disconnected " + o.Name
	case 11:
		for i, other := range net.Nodes {
			if i != n.Index {
				n.Learn(other)
			}
		}
		return n.Name + " learned of all"
	default:
		return "nothing"
	}
}

// mismeasured returns the first metric that says something else than the host; "" for none.
func mismeasured(n *hosttest.Node, r *prometheus.Registry) string {
	families, err := r.Gather()
	if err != nil {
		return err.Error()
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName()
			for _, l := range m.Label {
				if l.GetName() == "direction" || l.GetName() == "state" {
					key += " " + l.GetValue()
				}
			}
			got[key] += m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{"switchyard_peers inbound": 0, "switchyard_peers outbound": 0}
	for _, p := range n.Host.Peers() {
		if p.Inbound {
			want["switchyard_peers inbound"]++
		} else {
			want["switchyard_peers outbound"]++
		}
	}
	st := peerstore.Totals(n.Store, time.Now())
	want["switchyard_known_peers tried"] = float64(st.Tried)
	want["switchyard_forgotten_peers_total"] = float64(st.Forgotten)
	want["switchyard_known_peers new"] = float64(st.New)
	want["switchyard_bans"] = float64(st.Banned)
	for key, value := range want {
		if got[key] != value {
			return fmt.Sprintf("the metric %s is %v, want %v", key, got[key], value)
		}
	}
	return ""
}
