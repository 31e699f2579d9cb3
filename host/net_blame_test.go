package host_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// saysNa runs a machine at ip that refuses every security, so that no key is ever proven there.
func saysNa(t *testing.T, net *hosttest.Network, ip netip.Addr) {
	m := net.Memory().NewTransport(memory.HostConfig{IP: ip})
	at, err := ma.NewMultiaddr("/ip4/" + ip.String() + "/tcp/26656")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := m.Listen(t.Context(), at, func(transport.Conn) (transport.Ticket, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, _, err := ln.Accept(t.Context())
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _, _ = multistream.Answer(c.(transport.ByteConn), func(string) bool { return false })
			}()
		}
	}()
}

// An attacker has told a newcomer false addresses of all honest nodes but one. At these no key is proven, so the honest
// nodes are not to blame: their true addresses are learned and dialed as if nothing had happened.
func TestFalseAddressesHarmNobody(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 7, KnowFirst: true, Services: withPEX, Stopped: true,
		Speaks: func(*hosttest.Node) []string { return []string{transport.WireLibp2p} },
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 6 {
				c.Listen = nil // nobody dials it
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		newcomer := net.Nodes[6]
		honest := net.Nodes[:6]
		for _, n := range honest {
			n.Start()
		}
		net.AwaitConnected(honest...)
		for i, n := range honest[1:] {
			ip := netip.AddrFrom4([4]byte{66, byte(i), 1, 1})
			saysNa(t, net, ip)
			where, err := ma.NewMultiaddr("/ip4/" + ip.String() + "/tcp/26656")
			if err != nil {
				t.Fatal(err)
			}
			a, err := transport.NewAddress(where, n.Key.Public().PeerID())
			if err != nil {
				t.Fatal(err)
			}
			newcomer.Store.Add(a, peerstore.Source{Kind: "config"}, time.Now())
		}
		began := time.Now()
		newcomer.Start()
		for _, n := range honest {
			net.AwaitLink(newcomer, n)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A node whose operator has mistyped the network finds all others in quarantine. Once that is corrected it is linked at
// once.
func TestCorrectedNetworkLinksAtOnce(t *testing.T) {
	network := "hostess"
	inNet(t, hosttest.Options{Nodes: 4, Services: withPEX, Tune: func(n *hosttest.Node, c *host.Config) {
		if n.Index == 3 {
			c.Network, c.Listen = network, nil
		}
	}}, func(t *testing.T, net *hosttest.Network) {
		n := net.Nodes[3]
		for i := range 3 {
			_ = n.Host.PeerManager().Add(hosttest.AddressOf(n, i), peerstore.Source{Kind: "dns"})
		}
		net.Await("three peers in quarantine", func() string {
			if q := n.Host.PeerManager().Quarantined(); len(q) < 3 {
				return fmt.Sprint(q)
			}
			return ""
		})
		network = "hosttest"
		n.Restart()
		if took := net.AwaitPeers(n, 3); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
