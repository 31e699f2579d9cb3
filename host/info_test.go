package host_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A peer that can be seen has been connected at some time: not even who looks in the moment in which it comes up sees
// it without one.
func TestPeerIsNeverSeenWithoutItsTime(t *testing.T) {
	inNet(t, hosttest.Options{Plain: true}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			sub := a.Host.Subscribe(ctx)
			defer sub.Close()
			for {
				u, err := sub.Next(ctx)
				if err != nil {
					return
				}
				if info, ok := a.Host.Peer(u.ID); ok && u.Status == host.PeerUp && info.Connected.IsZero() {
					t.Error("a peer is up and was never connected")
				}
			}
		}()
		for range 100 {
			a.Dial(b)
			synctest.Wait()
			a.Host.Disconnect(b.Host.Self(), muxer.CodeRequested, "a test")
			net.AwaitNoLink(a, b)
			time.Sleep(10 * time.Second) // nobody takes many connections at a time of one IP
		}
		cancel()
		<-done
	})
}

// The program fills in the node info, also later than New; peers see what it was at their handshake, over both wires.
func TestProgramsNodeInfo(t *testing.T) {
	for _, wire := range []string{"comet", "libp2p"} {
		var version atomic.Uint64
		tune := func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Info = func(i *handshake.NodeInfo) {
					if i.Moniker != "n0" || i.BlockVersion != handshake.BlockVersion ||
						i.P2PVersion != handshake.P2PVersion {
						t.Errorf("before the program: %+v", i)
					}
					i.AppVersion, i.TxIndex, i.RPCAddress = version.Load(), "on", "tcp://0.0.0.0:26657"
					i.Moniker, i.Version, i.P2PVersion = "a program", "its version", 9
					i.ID, i.PeerID, i.Network, i.Channels, i.Guest = "x", "x", "x", nil, true // not the program's
				}
			}
		}
		o := hosttest.Options{Tune: tune, Speaks: func(*hosttest.Node) []string { return []string{wire} }}
		inNet(t, o, func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			for _, app := range []uint64{0, 42} {
				version.Store(app)
				b.Dial(a)
				synctest.Wait()
				p, ok := b.Host.Peer(a.ID)
				r := p.Remote
				if !ok || r.AppVersion != app || r.TxIndex != "on" || r.RPCAddress != "tcp://0.0.0.0:26657" ||
					r.P2PVersion != 9 || r.BlockVersion != handshake.BlockVersion || r.Moniker != "a program" ||
					r.Version != "its version" || r.ID != a.ID || r.PeerID != a.Key.Public().PeerID() ||
					r.Network != "hosttest" || r.Guest || !slices.Equal(r.Channels, []byte{hosttest.TestChannel}) {
					t.Errorf("over %s: %v, %+v", wire, ok, r)
				}
				if p.Moniker != r.Moniker || p.Version != r.Version {
					t.Errorf("over %s: %q, %q", wire, p.Moniker, p.Version)
				}
				b.Host.Disconnect(a.ID, muxer.CodeRequested, "a test")
				net.AwaitNoLink(a, b)
			}
		})
	}
}

func TestBadNodeInfoOfTheProgram(t *testing.T) {
	for want, info := range map[string]func(*handshake.NodeInfo){
		"tx_index":    func(i *handshake.NodeInfo) { i.TxIndex = "maybe" },
		"rpc_address": func(i *handshake.NodeInfo) { i.RPCAddress = "\t" },
		"moniker":     func(i *handshake.NodeInfo) { i.Moniker = "n\u0153ud" },
	} {
		inNet(t, hosttest.Options{Nodes: 1, Stopped: true, Tune: func(_ *hosttest.Node, full *host.Config) {
			c := *full
			c.Info = info
			if _, err := host.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}}, func(t *testing.T, net *hosttest.Network) { net.Nodes[0].Start() })
	}
}

// A peer's IP and port are those of the connection's remote end.
func TestPeerHasIPAndPort(t *testing.T) {
	inNet(t, hosttest.Options{Plain: true}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		synctest.Wait()
		out, _ := a.Host.Peer(b.ID)
		in, _ := b.Host.Peer(a.ID)
		if out.IP != b.IP() || out.Port != hosttest.Port || in.IP != a.IP() || in.Port == 0 ||
			in.Port == hosttest.Port {
			t.Errorf("%v %d, %v %d", out.IP, out.Port, in.IP, in.Port)
		}
	})
}
