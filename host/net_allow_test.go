package host_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A gate that refuses an address is asked before it is dialed: not one connection is made.
func TestGatesAreAskedBeforeADial(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 3, KnowFirst: true, Tune: func(n *hosttest.Node, c *host.Config) {
		if n.Index == 0 {
			return
		}
		c.Gates = []handshake.Gate{func(v handshake.Visitor) error {
			if v.IP == hosttest.AddressIP(n, 0) {
				return errors.New("not there")
			}
			return nil
		}}
	}}, func(t *testing.T, net *hosttest.Network) {
		for _, n := range net.Nodes[1:] {
			n.Learn(net.Nodes[1])
		}
		time.Sleep(10 * time.Minute)
		for _, n := range net.Nodes[1:] {
			for _, d := range n.Dials() {
				if ip, _ := transport.MultiaddrIP(d.Addr); ip == net.Nodes[0].IP() {
					t.Errorf("%s dialed %v", n.Name, d.Addr)
				}
			}
		}
		if _, err := net.Nodes[1].Host.Dial(t.Context(), net.Nodes[0].Address()); codeOf(err) != muxer.CodeFiltered {
			t.Errorf("a dial that a gate refuses: %v", err)
		}
		if !net.Nodes[2].Has(net.Nodes[1]) {
			t.Error("the others are not linked")
		}
	})
}

// With an allow list only what it names is dialed and accepted.
func TestOnlyWhatIsAllowedIsLinked(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		for _, dials := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s dials %v", wire, dials), func(t *testing.T) {
				inNet(t, hosttest.Options{Nodes: 4, Stopped: true,
					Speaks: func(*hosttest.Node) []string { return []string{wire} },
					Tune: func(n *hosttest.Node, c *host.Config) {
						if n.Index == 0 { // node 1 by its id, node 2 by its network
							c.Allow = []peerstore.Target{{ID: hosttest.AddressOf(n, 1).ID()},
								{Prefix: netip.PrefixFrom(hosttest.AddressIP(n, 2), 16)}}
						}
					}}, func(t *testing.T, net *hosttest.Network) {
					net.Start()
					for _, n := range net.Nodes[1:] {
						if dials {
							net.Nodes[0].Learn(n)
						} else {
							n.Learn(net.Nodes[0])
						}
					}
					time.Sleep(10 * time.Minute)
					for i, n := range net.Nodes[1:] {
						if want := i < 2; net.Nodes[0].Has(n) != want {
							t.Errorf("%s is linked: %v", n.Name, !want)
						}
					}
					for _, d := range net.Nodes[0].Dials() {
						if ip, _ := transport.MultiaddrIP(d.Addr); ip == net.Nodes[3].IP() {
							t.Errorf("dialed %v", d.Addr)
						}
					}
					net.AssertTruth()
				})
			})
		}
	}
}
