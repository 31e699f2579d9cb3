package host_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

var eitherWire = []string{transport.WireComet, transport.WireLibp2p}

// onEitherWire runs fn in a network of each wire.
func onEitherWire(t *testing.T, o hosttest.Options, fn func(t *testing.T, net *hosttest.Network)) {
	for _, wire := range eitherWire {
		t.Run(wire, func(t *testing.T) {
			o.Speaks = func(*hosttest.Node) []string { return []string{wire} }
			inNet(t, o, fn)
		})
	}
}

// elsewhere is an address of a node at which nobody answers (node off is stopped), over the node's wire.
func elsewhere(t *testing.T, of, off *hosttest.Node) transport.Address {
	t.Helper()
	name := string(of.ID)
	if of.Speaks()[0] == transport.WireLibp2p {
		name = of.Key.Public().PeerID()
	}
	addr, err := transport.NewAddress(off.Address().Multiaddr(), name)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// dials begins n dials of the same addresses.
func dials(ctx context.Context, n int, h *host.Host, addrs ...transport.Address) (wait func() []error) {
	results := make(chan error, n)
	for range n {
		go func() {
			_, err := h.Dial(ctx, addrs...)
			results <- err
		}()
	}
	synctest.Wait()
	return func() (out []error) {
		for range n {
			out = append(out, <-results)
		}
		return out
	}
}

// Several addresses of one peer are raced: one that fails, or does not answer, costs no more than the stagger.
func TestDialOfSeveralAddresses(t *testing.T) {
	onEitherWire(t, hosttest.Options{Nodes: 4, Tune: func(_ *hosttest.Node, c *host.Config) {
		c.Peers.MaxOutbound = -1
	}}, func(t *testing.T, net *hosttest.Network) {
		a, b, off, deaf := net.Nodes[0], net.Nodes[1], net.Nodes[2], net.Nodes[3]
		off.Stop()
		net.Between(a, deaf, memory.Conditions{Down: true})
		refused, silent := elsewhere(t, b, off), elsewhere(t, b, deaf)
		began := time.Now()
		info, err := a.Host.Dial(t.Context(), refused, silent, b.Address(), refused)
		if took := time.Since(began); err != nil || info.Address != b.Address().String() || took > time.Second {
			t.Fatalf("%v at %q, after %v", err, info.Address, took)
		}
		if info.Key != b.Key.Public() || info.LocalAddr == nil || info.RemoteAddr == nil {
			t.Errorf("the peer is %+v", info)
		}
		if libp2p := info.Wire == transport.WireLibp2p; libp2p != (info.Observed == info.LocalAddr.String()) {
			t.Errorf("the peer sees us at %q, which is %v", info.Observed, info.LocalAddr)
		}
		a.Host.Disconnect(b.ID, muxer.CodeRequested, "enough")
		_ = a.Host.WaitDown(t.Context(), b.ID)
		if _, err := a.Host.Dial(t.Context(), refused, silent); err == nil {
			t.Error("dialed nobody")
		}
		if _, err := a.Host.Dial(t.Context()); err == nil {
			t.Error("dialed no address")
		}
		if _, err := a.Host.Dial(t.Context(), b.Address(), off.Address()); err == nil {
			t.Error("dialed two peers at once")
		}
	})
}

// Calls of Dial for one peer share one dial, each with its own time; the dial goes on as long as one of them waits.
func TestDialsJoin(t *testing.T) {
	const latency = 100 * time.Millisecond
	onEitherWire(t, hosttest.Options{Nodes: 3, Conditions: memory.Conditions{Latency: latency},
		Tune: func(_ *hosttest.Node, c *host.Config) { c.Peers.MaxOutbound = -1 },
	}, func(t *testing.T, net *hosttest.Network) {
		a, b, off := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		off.Stop()
		short, cancel := context.WithTimeout(t.Context(), latency)
		defer cancel()
		given := dials(short, 5, a.Host, b.Address())
		kept := dials(t.Context(), 5, a.Host, b.Address())
		for _, err := range given() {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a call whose time was over: %v", err)
			}
		}
		for _, err := range kept() {
			if err != nil {
				t.Error(err)
			}
		}
		if up := a.Events(host.EventUp); len(up) != 1 || len(b.Events(host.EventRefused)) != 0 {
			t.Errorf("%d links came up, and %v were refused", len(up), b.Events(host.EventRefused))
		}

		// all give up, and the next call dials anew
		a.Host.Disconnect(b.ID, muxer.CodeRequested, "enough")
		_ = a.Host.WaitDown(t.Context(), b.ID)
		short, cancel = context.WithTimeout(t.Context(), latency)
		defer cancel()
		given = dials(short, 3, a.Host, b.Address())
		time.Sleep(latency)
		if _, err := a.Host.Dial(t.Context(), b.Address()); err != nil {
			t.Error(err)
		}
		for _, err := range given() {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a call whose time was over: %v", err)
			}
		}

		// a dial that fails, of which only some addresses are those of the second call
		a.Host.Disconnect(b.ID, muxer.CodeRequested, "enough")
		_ = a.Host.WaitDown(t.Context(), b.ID)
		failing := dials(t.Context(), 1, a.Host, elsewhere(t, b, off))
		same := dials(t.Context(), 1, a.Host, elsewhere(t, b, off))
		more := dials(t.Context(), 1, a.Host, elsewhere(t, b, off), b.Address())
		if f, s, m := failing()[0], same()[0], more()[0]; f == nil || s == nil || m != nil {
			t.Errorf("%v, %v, %v", f, s, m)
		}
	})
}

// A call joins the dial that the host itself has begun, and one of the remote that is not done yet; a feeler, which
// brings no link, is followed by a dial.
func TestDialJoinsWhatTheHostDoes(t *testing.T) {
	const latency = 100 * time.Millisecond
	for _, wait := range []time.Duration{0, latency, 3 * latency, 5 * latency, 7 * latency} {
		t.Run(fmt.Sprint(wait), func(t *testing.T) {
			onEitherWire(t, hosttest.Options{Conditions: memory.Conditions{Latency: latency}},
				func(t *testing.T, net *hosttest.Network) {
					a, b := net.Nodes[0], net.Nodes[1]
					a.Learn(b)
					time.Sleep(wait)
					for i, n := range []*hosttest.Node{a, b} {
						to := net.Nodes[1-i]
						if info, err := n.Host.Dial(t.Context(), to.Address()); err != nil || info.ID != to.ID {
							t.Errorf("%s: %v", n.Name, err)
						}
					}
					time.Sleep(10 * time.Second)
					net.AssertTruth()
					if up := a.Events(host.EventUp); len(up) != 1 {
						t.Errorf("%d links came up", len(up))
					}
				})
		})
	}
}

// Both ends call Dial at once, again and again, with latencies that differ: both calls succeed.
func TestDialsFromBothEnds(t *testing.T) {
	for seed := range uint64(20) {
		for _, wire := range eitherWire {
			inNet(t, hosttest.Options{Seed: seed + 1, Conditions: memory.Conditions{Latency: 20 * time.Millisecond,
				Jitter: 30 * time.Millisecond}, Speaks: func(*hosttest.Node) []string { return []string{wire} },
				Tune: func(_ *hosttest.Node, c *host.Config) { c.Peers.MaxOutbound = -1 },
			}, func(t *testing.T, net *hosttest.Network) {
				a, b := net.Nodes[0], net.Nodes[1]
				to, fro := dials(t.Context(), 2, a.Host, b.Address()), dials(t.Context(), 2, b.Host, a.Address())
				for _, err := range append(to(), fro()...) {
					if err != nil {
						t.Errorf("%s, seed %d: %v", wire, seed+1, err)
					}
				}
				time.Sleep(10 * time.Second)
				net.AssertTruth()
			})
		}
	}
}
