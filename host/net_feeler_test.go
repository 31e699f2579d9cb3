package host_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A feeler over either wire makes its peer a tried one. No service of either end hears of it, no flap is seen, nothing
// is left open, and nobody loses a link for it.
func TestFeelersTestAddressesUnseen(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			inNet(t, hosttest.Options{Nodes: 6, Conditions: wan, Speaks: func(*hosttest.Node) []string {
				return []string{wire}
			},
				Tune: func(n *hosttest.Node, c *host.Config) {
					switch n.Index {
					case 0:
						c.Peers.MaxOutbound, c.Peers.Feelers = 1, time.Minute
					case 2:
						c.Peers.MaxOutbound, c.Peers.MaxInbound = 1, 2
					default:
						c.Peers.MaxOutbound = 1
					}
				},
			}, func(t *testing.T, net *hosttest.Network) {
				a, b, full := net.Nodes[0], net.Nodes[1], net.Nodes[2]
				a.Learn(b)
				net.AwaitLink(a, b)
				for _, n := range net.Nodes[3:5] { // one after the other, so that they are full before the third comes
					n.Learn(full)
					net.AwaitLink(n, full)
				}
				a.Learn(full)
				before := a.Store.Stats()
				tried := func() bool { rec, _ := a.Store.Get(full.ID); return rec.Tried() }
				began := time.Now()
				event := net.AwaitEvent(a, "a feeler", func(e host.Event) bool {
					return e.Kind != host.EventUp && e.ID == full.ID
				})
				if took := time.Since(began); took < 30*time.Second || took > 2*time.Minute {
					t.Errorf("the feeler came after %v", took)
				}
				want := muxer.CodeInquiryDone // over comet its node info is on the way before it knows whom to refuse
				if wire == transport.WireLibp2p {
					want = muxer.CodeTooManyPeers // it says so, once both have told each other who they are
				} else if event.Kind != host.EventFeeler {
					t.Errorf("event %+v", event)
				}
				if event.Reason.Code != want || event.Inbound || event.Address == "" {
					t.Errorf("event %+v", event)
				}
				after := a.Store.Stats()
				if !tried() || after.Tried != before.Tried+1 || after.New != before.New-1 {
					t.Errorf("stats %+v, before %+v", after, before)
				}
				time.Sleep(10 * time.Second)
				if len(a.Updates(full)) != 0 || len(full.Updates(a)) != 0 {
					t.Errorf("a service heard of it: %v, %v", a.Updates(full), full.Updates(a))
				}
				for _, n := range net.Nodes[3:5] {
					net.AssertNoFlap(n, full)
					net.AssertNoFlap(full, n)
				}
				net.AssertNoFlap(a, b)
				net.AssertTruth()
			})
		})
	}
}

// A node of another network that dials us is quarantined, as one that we dial: nobody dials it, or tells others of it.
func TestAForeignerThatDialsUsIsQuarantined(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			inNet(t, hosttest.Options{Conditions: wan, Speaks: func(*hosttest.Node) []string { return []string{wire} },
				Tune: func(n *hosttest.Node, c *host.Config) {
					if n.Index == 0 {
						c.Peers.MaxOutbound = -1
					} else {
						c.Network = "another"
					}
				},
			}, func(t *testing.T, net *hosttest.Network) {
				a, foreigner := net.Nodes[0], net.Nodes[1]
				a.Learn(foreigner)
				if len(a.Host.Advertise("", 10)) == 0 {
					t.Fatal("it is not advertised in the first place")
				}
				foreigner.Learn(a)
				net.Await("it is quarantined", func() string {
					if st, _ := a.Host.PeerManager().Status(foreigner.ID); !st.Quarantined.After(time.Now()) ||
						st.Reason == "" {
						return "It is not."
					}
					return ""
				})
				if told := a.Host.Advertise("", 10); len(told) != 0 {
					t.Errorf("it tells others of %v", told)
				}
			})
		})
	}
}

// After a restart the anchors are dialed before anybody else, however many addresses somebody has told meanwhile.
func TestAnchorsAreDialedFirst(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 12, Conditions: wan, Tune: func(n *hosttest.Node, c *host.Config) {
		c.Peers.MaxOutbound = -1
		if n.Index == 0 {
			c.Peers.MaxOutbound = 3
		}
	}}, func(t *testing.T, net *hosttest.Network) {
		a := net.Nodes[0]
		for _, n := range net.Nodes[1:4] {
			a.Learn(n)
			net.AwaitLink(a, n)
			time.Sleep(time.Minute)
		}
		a.Learn(net.Nodes[4:]...)
		dialed := len(a.Dials())
		a.Restart()
		net.AwaitPeers(a, 3)
		first := a.Dials()[dialed:]
		if len(first) < 3 {
			t.Fatalf("dials %v", first)
		}
		for i, n := range net.Nodes[1:3] { // which of two concurrent dials was first, nobody knows
			at := n.Address().Multiaddr()
			if !slices.ContainsFunc(first[:3], func(d hosttest.DialAttempt) bool { return d.Addr.Equal(at) }) {
				t.Errorf("anchor %d at %s was not dialed at once: %v", i, at, first)
			}
		}
	})
}

// When all inbound slots are taken, a newcomer of a less crowded network group gets the place of one of the crowd,
// once; the rest of the crowd gets none.
func TestACrowdMakesRoomForANewcomer(t *testing.T) {
	const crowd, room = 12, 8
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			inNet(t, hosttest.Options{Nodes: 2 + crowd, Conditions: wan, Speaks: func(*hosttest.Node) []string {
				return []string{wire}
			},
				IP: func(i int) netip.Addr {
					if i < 2 {
						return netip.AddrFrom4([4]byte{80, byte(i), 0, 1})
					}
					return netip.AddrFrom4([4]byte{90, 1, byte(i), 1})
				},
				Tune: func(n *hosttest.Node, c *host.Config) {
					if n.Index == 0 {
						c.Peers.MaxOutbound, c.Peers.MaxInbound = -1, room
					}
				},
			}, func(t *testing.T, net *hosttest.Network) {
				a, newcomer, many := net.Nodes[0], net.Nodes[1], net.Nodes[2:]
				for _, n := range many {
					n.Learn(a)
				}
				net.AwaitPeers(a, room)
				newcomer.Learn(a)
				net.AwaitLink(a, newcomer)
				time.Sleep(time.Hour) // the rest keep trying
				net.AssertNoFlap(a, newcomer)
				net.AssertNoFlap(newcomer, a)
				evicted := a.Events(host.EventDown)
				if len(evicted) != 1 || evicted[0].Reason.Code != muxer.CodeEvicted ||
					evicted[0].Reason.Limit != "peers.max_inbound" {
					t.Errorf("ended: %v", evicted)
				}
				if up := len(a.Peers()); up != room {
					t.Errorf("%d are up", up)
				}
				net.AssertTruth()
			})
		})
	}
}
