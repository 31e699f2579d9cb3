package host_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// at is the address of a node id at another node's IP and port.
func at(t *testing.T, id transport.NodeID, where *hosttest.Node) transport.Address {
	t.Helper()
	a, err := transport.CometAddress(id, where.IP().String(), hosttest.Port)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// silentListener takes connections on the IP and port of a node that does not run, and says nothing on them until it is
// closed.
func silentListener(t *testing.T, n *hosttest.Node) (stop func()) {
	t.Helper()
	ln, err := n.Machine().Listen(t.Context(), n.Address().Multiaddr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, _, err := ln.Accept(context.Background())
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	return func() {
		_ = ln.Close()
		<-done
	}
}

// A peer's addresses are raced: a dead one delays the next by the stagger only, one that refuses by nothing, and the
// link that wins is the only one.
func TestDialRacesThePeersAddresses(t *testing.T) {
	const latency = 10 * time.Millisecond
	for _, c := range []struct {
		name string
		// makes the first address fail
		first func(t *testing.T, net *hosttest.Network, wrong *hosttest.Node) (undo func())
		most  time.Duration // until the link is up
	}{
		{"the first is silent", func(t *testing.T, net *hosttest.Network, wrong *hosttest.Node) func() {
			net.Between(net.Nodes[0], wrong, memory.Conditions{Down: true})
			return func() {}
		}, 250*time.Millisecond + 8*latency},
		{"nobody listens at the first", func(t *testing.T, net *hosttest.Network, wrong *hosttest.Node) func() {
			return func() {}
		}, 10 * latency},
		{"somebody else lives at the first", func(t *testing.T, net *hosttest.Network, wrong *hosttest.Node) func() {
			wrong.Start()
			return func() {}
		}, 14 * latency},
		{"the first takes the connection and says nothing",
			func(t *testing.T, net *hosttest.Network, wrong *hosttest.Node) func() {
				return silentListener(t, wrong)
			}, 250*time.Millisecond + 8*latency},
	} {
		t.Run(c.name, func(t *testing.T) {
			inNet(t, hosttest.Options{Nodes: 3, Stopped: true, Conditions: memory.Conditions{Latency: latency},
				Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
					if n.Index == 0 { // it knows both addresses before it dials any
						found := n.Found("test")
						found(at(t, hosttest.AddressOf(n, 1).ID(), n.Network().Nodes[2]), "")
						found(hosttest.AddressOf(n, 1), "")
					}
					return nil, nil
				},
			}, func(t *testing.T, net *hosttest.Network) {
				a, b, wrong := net.Nodes[0], net.Nodes[1], net.Nodes[2]
				undo := c.first(t, net, wrong)
				b.Start()
				a.Start()
				took := net.AwaitLink(a, b)
				dials := a.Dials()
				if len(dials) != 2 || !dials[0].Addr.Equal(wrong.Address().Multiaddr()) {
					t.Fatalf("dialed %v; want the bad address, then the good one", dials)
				}
				t.Logf("up after %v, the second dial began after %v", took, dials[1].At.Sub(dials[0].At))
				if took > c.most {
					t.Errorf("up only after %v, want %v", took, c.most)
				}
				time.Sleep(time.Minute)
				undo()
				net.AssertNoFlap(a, b)
				net.AssertTruth()
			})
		})
	}
}

// A peer that answers at two addresses, one slower than the stagger, ends with one link, and neither end notices more.
func TestDialKeepsOneOfTwoAddressesThatWork(t *testing.T) {
	for _, slow := range []time.Duration{90 * time.Millisecond, 120 * time.Millisecond, 130 * time.Millisecond,
		200 * time.Millisecond} {
		inNet(t, hosttest.Options{Stopped: true, Conditions: memory.Conditions{Latency: slow},
			Tune: func(n *hosttest.Node, c *host.Config) {
				if n.Index == 1 {
					second, err := transport.ParseListen("/ip4/" + n.IP().String() + "/tcp/26657")
					if err != nil {
						t.Fatal(err)
					}
					c.Listen = append(c.Listen, second)
				}
			},
			Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
				if n.Index == 0 {
					b := hosttest.AddressOf(n, 1)
					second, err := transport.CometAddress(b.ID(), n.Network().Nodes[1].IP().String(), 26657)
					if err != nil {
						return nil, err
					}
					n.Found("test")(b, "")
					n.Found("test")(second, "")
				}
				return nil, nil
			},
		}, func(t *testing.T, net *hosttest.Network) {
			a, b := net.Nodes[0], net.Nodes[1]
			b.Start()
			a.Start()
			t.Logf("latency %v: up after %v, %d dials", slow, net.AwaitLink(a, b), len(a.Dials()))
			time.Sleep(time.Minute)
			net.AssertNoFlap(a, b)
			net.AssertNoFlap(b, a)
			net.AssertTruth()
		})
	}
}

// codeOf finds the code in whatever Host.Dial returns.
func codeOf(err error) muxer.Code {
	var d *host.DisconnectError
	var r *handshake.Refusal
	var s *handshake.StageError
	switch {
	case errors.As(err, &d):
		return d.Code
	case errors.As(err, &r):
		return r.Code
	case errors.As(err, &s):
		return s.Code
	}
	return muxer.CodeUnknown
}

// What Host.Dial says when it does not work: each reason with its own code, at once or when its time is over.
func TestDialSaysWhyItFailed(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 5, Stopped: true, Conditions: wan,
		Tune: func(n *hosttest.Node, c *host.Config) {
			switch n.Index {
			case 3:
				c.Network = "another"
			case 4:
				c.Peers.MaxInbound = -1
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, b, off, stranger, full := net.Nodes[0], net.Nodes[1], net.Nodes[2], net.Nodes[3], net.Nodes[4]
		ctx := t.Context()
		a.Start()
		b.Start()
		stranger.Start()
		full.Start()
		banned := net.Add()
		if err := a.Host.PeerManager().Ban(peerstore.Target{ID: banned.ID}, time.Time{}, "because"); err != nil {
			t.Fatal(err)
		}
		bannedIP := net.Add()
		if err := a.Host.PeerManager().Ban(peerstore.Target{Prefix: netip.PrefixFrom(bannedIP.IP(), 24).Masked()},
			time.Time{}, "because"); err != nil {
			t.Fatal(err)
		}
		hidden := net.Add()
		net.Between(a, hidden, memory.Conditions{Down: true})
		mute := net.Add()
		mute.Stop()
		stop := silentListener(t, mute)
		parse := func(s string) transport.Address {
			addr, err := transport.ParseAddress(s)
			if err != nil {
				t.Fatal(err)
			}
			return addr
		}
		for _, c := range []struct {
			name string
			addr transport.Address
			code muxer.Code
			most time.Duration
		}{
			{"another node lives there", at(t, off.ID, b), muxer.CodeWrongID, time.Second},
			{"ourselves by name", a.Address(), muxer.CodeSelf, 0},
			{"ourselves under another id", at(t, off.ID, a), muxer.CodeSelf, time.Second},
			{"a banned id", banned.Address(), muxer.CodeBanned, 0},
			{"a banned network", bannedIP.Address(), muxer.CodeBanned, 0},
			{"another network", stranger.Address(), muxer.CodeWrongNetwork, time.Second},
			{"nobody listens", off.Address(), muxer.CodeTransport, time.Second},
			{"nothing comes back", hidden.Address(), muxer.CodeTimeout, 5 * time.Second},
			{"taken, and then silence", mute.Address(), muxer.CodeTimeout, 5*time.Second + 100*time.Millisecond},
			{"it has no slot", full.Address(), muxer.CodeRemoteClosed, 2 * time.Second},
			{"no transport of ours", parse("/ip4/80.0.0.9/udp/1/quic-v1/p2p/" + b.Key.Public().PeerID()),
				muxer.CodeIncompatible, 0},
		} {
			began := time.Now()
			_, err := a.Host.Dial(ctx, c.addr)
			took := time.Since(began)
			if code := codeOf(err); err == nil || code != c.code {
				t.Errorf("%s: %v (%v), want %v", c.name, err, code, c.code)
			}
			if took > c.most {
				t.Errorf("%s: that took %v, want %v at most", c.name, took, c.most)
			}
			t.Logf("%s: after %v: %v", c.name, took, err)
		}
		stop()

		if _, err := a.Host.Dial(ctx, parse("80.1.0.1:26656")); err == nil {
			t.Error("dialed an address without a node id")
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		_, err := a.Host.Dial(short, b.Address())
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dial whose time is over: %v", err)
		}
		var first error
		var wg sync.WaitGroup
		wg.Go(func() { _, first = a.Host.Dial(ctx, b.Address()) })
		synctest.Wait()
		if info, err := a.Host.Dial(ctx, b.Address()); err != nil || info.ID != b.ID {
			t.Errorf("a dial of a peer that is being dialed: %v, %v", info, err)
		}
		if wg.Wait(); first != nil {
			t.Error(first)
		}
		if info, err := a.Host.Dial(ctx, b.Address()); err != nil || info.ID != b.ID {
			t.Errorf("a dial of a peer that is up: %v, %v", info, err)
		}
		a.Stop()
		if _, err := a.Host.Dial(ctx, off.Address()); !errors.Is(err, host.ErrStopped) {
			t.Errorf("a dial of a host that has stopped: %v", err)
		}
	})
}

// A dial that is under way when the host stops ends at once, and says so.
func TestStoppingEndsADialThatHangs(t *testing.T) {
	inNet(t, hosttest.Options{}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		net.Between(a, b, memory.Conditions{Down: true})
		said := make(chan error, 1)
		go func() {
			_, err := a.Host.Dial(context.Background(), b.Address())
			said <- err
		}()
		synctest.Wait()
		began := time.Now()
		a.Stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("the host took %v to stop", took)
		}
		if err := <-said; err == nil {
			t.Error("the dial was said to work")
		}
	})
}

// However long a caller of Dial waits, what it is told is what holds: the link is ready and stays, or it has given up
// and there is none.
func TestADialThatIsGivenUpLeavesNoLink(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			const latency = 100 * time.Millisecond
			linked := 0
			for wait := time.Duration(0); linked < 3; wait += 50*time.Millisecond + time.Microsecond {
				inNet(t, hosttest.Options{Conditions: memory.Conditions{Latency: latency},
					Speaks: func(*hosttest.Node) []string { return []string{wire} },
					Tune:   func(_ *hosttest.Node, c *host.Config) { c.Peers.MaxOutbound = -1 },
				}, func(t *testing.T, net *hosttest.Network) {
					a, b := net.Nodes[0], net.Nodes[1]
					ctx, cancel := context.WithTimeout(t.Context(), wait)
					defer cancel()
					info, err := a.Host.Dial(ctx, b.Address())
					if err == nil {
						if linked++; info.ID != b.ID {
							t.Errorf("Dial returned %q", info.ID)
						}
						time.Sleep(10 * time.Second)
						if net.AssertTruth(); !a.Has(b) || !b.Has(a) {
							t.Error("Dial returned a link that did not stay")
						}
						return
					}
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("given up after %v: %v", wait, err)
					}
					net.AssertHolds("there is no link", 20*time.Second, func() string {
						if len(a.Events(host.EventUp)) > 0 || a.Has(b) {
							return fmt.Sprintf("There is one, given up after %v.", wait)
						}
						return ""
					})
					net.AssertTruth()
				})
			}
		})
	}
}

// A link whose end was asked for is not what Dial returns: it waits for the end, and links anew. Others can wait, too.
func TestDialDoesNotReturnALinkThatIsEnding(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		for name, end := range map[string]func(h *host.Host, id transport.NodeID){
			"disconnected": func(h *host.Host, id transport.NodeID) { h.Disconnect(id, muxer.CodeRequested, "enough") },
			"reported": func(h *host.Host, id transport.NodeID) {
				h.Report(id, host.Behaviour{Severity: host.Disconnect, Reason: "nonsense"})
			},
		} {
			t.Run(wire+" "+name, func(t *testing.T) {
				inNet(t, hosttest.Options{Conditions: memory.Conditions{Latency: 10 * time.Millisecond},
					Speaks: func(*hosttest.Node) []string { return []string{wire} },
				}, func(t *testing.T, net *hosttest.Network) {
					a, b := net.Nodes[0], net.Nodes[1]
					a.Dial(b)
					first, _ := a.Host.Peer(b.ID)
					time.Sleep(time.Minute)
					end(a.Host, b.ID)
					second, err := a.Host.Dial(t.Context(), b.Address())
					if err != nil || !second.Connected.After(first.Connected) {
						t.Fatalf("the link of %v, %v; the first one was of %v", second.Connected, err, first.Connected)
					}
					time.Sleep(10 * time.Second)
					if net.AssertTruth(); !a.Has(b) {
						t.Fatal("the second link did not stay")
					}
					end(a.Host, b.ID)
					if err := a.Host.WaitDown(t.Context(), b.ID); err != nil || a.Has(b) {
						t.Errorf("after WaitDown, which returned %v, the peer is up: %v", err, a.Has(b))
					}
					if _, err := a.Host.Dial(t.Context(), at(t, a.ID, b)); err == nil {
						t.Error("we dialed ourselves")
					}
				})
			})
		}
	}
}
