package host_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A ban ends the link, keeps the peer away whichever end dials (an IP before any cryptography), and ends by itself.
func TestABanEndsTheLinkAndRefusesUntilItEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		target func(*hosttest.Node) peerstore.Target
		stage  string // where a dialer is refused
	}{
		{"id", func(n *hosttest.Node) peerstore.Target { return peerstore.Target{ID: n.ID} }, handshake.StageSecurity},
		{"ip", func(n *hosttest.Node) peerstore.Target {
			return peerstore.Target{Prefix: netip.PrefixFrom(n.IP(), 32)}
		}, handshake.StageTransport},
		{"cidr", func(n *hosttest.Node) peerstore.Target {
			return peerstore.Target{Prefix: netip.PrefixFrom(n.IP(), 20).Masked()}
		}, handshake.StageTransport},
	} {
		t.Run(c.name, func(t *testing.T) {
			inNet(t, hosttest.Options{Nodes: 3, KnowFirst: true, Conditions: wan},
				func(t *testing.T, net *hosttest.Network) {
					a, banned, other := net.Nodes[0], net.Nodes[1], net.Nodes[2]
					a.Learn(banned, other)
					net.AwaitLink(a, banned)
					net.AwaitLink(a, other)
					began := time.Now()
					if err := a.Host.PeerManager().Ban(c.target(banned), began.Add(time.Hour), "floods"); err != nil {
						t.Fatal(err)
					}
					u := net.AwaitUpdate(a, banned, host.PeerDown, 1)
					if u.Reason.Code != muxer.CodeBanned || u.Reason.Reason != "floods" ||
						u.At.Sub(began) > time.Second {
						t.Errorf("the link ended after %v: %v", u.At.Sub(began), u.Reason)
					}
					refused := net.AwaitEvent(a, "a refusal of the banned peer's dial", func(e host.Event) bool {
						return e.Kind == host.EventRefused && e.Inbound && e.Reason.Code == muxer.CodeBanned
					})
					if refused.Stage != c.stage {
						t.Errorf("a dial of the banned peer is refused in stage %q, want %q", refused.Stage, c.stage)
					}
					dials := 0
					for _, d := range a.Dials() {
						if d.At.After(u.At) && d.Addr.Equal(banned.Address().Multiaddr()) {
							dials++
						}
					}
					if dials > 0 {
						t.Errorf("we dialed the banned peer %d times", dials)
					}
					net.AssertNoPeer(a, banned, time.Until(began.Add(59*time.Minute)))
					net.AwaitLink(a, banned) // the ban has ended
					net.AwaitLink(a, other)
					net.AssertNoFlap(a, other)
					net.AssertTruth()
				})
		})
	}
}

// Reports have the consequences that their severity says.
func TestReportsDisconnectAndBan(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 3, KnowFirst: true, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
		a, bad, worse := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		net.AwaitPeers(a, 2)
		a.Host.Report(bad.ID, host.Behaviour{Points: -5, Severity: host.Penalise, Reason: "rude"})
		net.AssertHolds("a penalty ends no link", time.Minute, func() string {
			if !a.Has(bad) {
				return "It did."
			}
			return ""
		})
		a.Host.Report(bad.ID, host.Behaviour{Points: -5, Severity: host.Disconnect, Reason: "invalid block"})
		a.Host.Report(worse.ID, host.Behaviour{Severity: host.Ban, Reason: "forged block"})
		if u := net.AwaitUpdate(a, bad, host.PeerDown, 1); u.Reason.Code != muxer.CodeMisbehaved ||
			u.Reason.Reason != "invalid block" {
			t.Errorf("the link of the misbehaving peer ended for %v", u.Reason)
		}
		if u := net.AwaitUpdate(a, worse, host.PeerDown, 1); u.Reason.Code != muxer.CodeBanned &&
			u.Reason.Code != muxer.CodeMisbehaved {
			t.Errorf("the link of the banned peer ended for %v", u.Reason)
		}
		net.AwaitLink(a, bad) // it may come again
		net.AssertNoPeer(a, worse, 5*time.Hour)
		net.AwaitLink(a, bad)
	})
}

// A node of another network is no peer, is not dialed again for hours, and nobody is told of it.
func TestAPeerOfAnotherNetworkIsQuarantined(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 4, KnowFirst: true, Conditions: wan, Services: withPEX, Stopped: true,
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 3 {
				c.Network = "another"
				c.Peers.MaxOutbound = -1
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, stranger := net.Nodes[0], net.Nodes[3]
		stranger.Start()
		a.Start()
		a.Learn(stranger)
		e := net.AwaitEvent(a, "a dial that failed for the network", func(e host.Event) bool {
			return e.Kind == host.EventDialFailed && e.ID == stranger.ID
		})
		if e.Reason.Code != muxer.CodeWrongNetwork || e.Stage != handshake.StageInfo {
			t.Errorf("the dial failed in stage %q: %v", e.Stage, e.Reason)
		}
		net.Start() // the others
		dials := func() int {
			count := 0
			for _, d := range a.Dials() {
				if d.Addr.Equal(stranger.Address().Multiaddr()) {
					count++
				}
			}
			return count
		}
		time.Sleep(5 * time.Hour)
		if n := dials(); n != 1 {
			t.Errorf("the stranger was dialed %d times within 5 hours", n)
		}
		time.Sleep(2 * time.Hour)
		if n := dials(); n != 2 {
			t.Errorf("the stranger was dialed %d times within 8 hours, want one dial after the quarantine", n)
		}
		for _, n := range net.Nodes[1:3] {
			if _, ok := n.Store.Get(stranger.ID); ok {
				t.Errorf("%s was told of the stranger", n.Name)
			}
		}
		if len(a.Updates(stranger)) != 0 {
			t.Errorf("a subscriber heard of the stranger: %v", a.Updates(stranger))
		}
	})
}

// A dead address is dialed at intervals that double up to an hour, with some jitter: observed at the transport.
func TestADeadAddressIsDialedAtGrowingIntervals(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 3, Stopped: true}, func(t *testing.T, net *hosttest.Network) {
		a, b, dead := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		a.Start()
		b.Start()
		a.Dial(b) // so that the fault is the peer's, not ours
		a.Found("test")(dead.Address(), "")
		time.Sleep(24 * time.Hour)
		var at []time.Time
		for _, d := range a.Dials() {
			if d.Addr.Equal(dead.Address().Multiaddr()) {
				at = append(at, d.At)
			}
		}
		if len(at) < 30 || len(at) > 45 {
			t.Errorf("%d dials within a day", len(at))
		}
		want := time.Second
		for i := range at[1:] {
			least, most := want, want*5/4
			if want > 45*time.Minute {
				least, most = 45*time.Minute, time.Hour
			}
			if gap := at[i+1].Sub(at[i]); gap < least || gap > most {
				t.Errorf("pause %d is %v, want %v to %v", i+1, gap, least, most)
			}
			want = min(2*want, time.Hour)
		}
	})
}

// With all slots full, a clearly better peer takes the place of a worse one, and the budget is kept all the time.
func TestABetterPeerTakesTheSlotOfAWorseOne(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 8, Conditions: wan,
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Peers.MaxOutbound = 6
			} else {
				c.Peers.MaxOutbound = -1
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, better, rest := net.Nodes[0], net.Nodes[1], net.Nodes[2:]
		a.Learn(better)
		net.AwaitLink(a, better)
		for range 10 {
			a.Host.Report(better.ID, host.Behaviour{Points: 10, Reason: "useful"})
		}
		better.Stop()
		net.AwaitNoPeers(a)
		a.Learn(rest...)
		net.AwaitOutbound(6, a)
		time.Sleep(31 * time.Minute) // they have had their time
		better.Start()
		began := time.Now()
		net.AwaitLink(a, better)
		t.Logf("the better peer was up %v after it had come back", time.Since(began))
		net.Await("one of the others has gone", func() string {
			if c := a.Host.PeerManager().Counts(); c.Outbound != 6 || c.Upgrades != 0 {
				return "It has not."
			}
			return ""
		})
		evicted := 0
		for _, n := range rest {
			for _, u := range a.Updates(n) {
				if u.Status == host.PeerDown {
					evicted++
					if u.Reason.Code != muxer.CodeEvicted {
						t.Errorf("%s went for %v", n.Name, u.Reason)
					}
				}
			}
		}
		if evicted != 1 {
			t.Errorf("%d peers had to go", evicted)
		}
		net.AssertHolds("the better peer stays, and the budget is kept", time.Hour, func() string {
			if !a.Has(better) {
				return "It has gone."
			}
			if c := a.Host.PeerManager().Counts(); c.Outbound > 6 {
				return "There are too many."
			}
			return ""
		})
		net.AssertTruth()
	})
}
