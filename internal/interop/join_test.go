package interop

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

const network = "interop-net"

var echoChannel = muxer.Channel{ID: cometpeer.EchoChannel, Name: "/echo/1.0.0", Guests: true}

// waitFor polls until ok, or fails the test after a bound that even a loaded machine keeps.
func waitFor(t *testing.T, bound time.Duration, what string, ok func() bool) {
	t.Helper()
	if !within(bound, ok) {
		t.Fatalf("not within %v: %s", bound, what)
	}
}

func within(bound time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(bound)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

func cometID(n *node.Node) p2p.ID { return p2p.ID(n.Key.ID()) }

// startComets starts ordinary CometBFT switches that dial the first, and waits until it knows them all. They do not
// have it as their seed: a switch asks its seed again as soon as it has an answer, and a third request within seconds
// puts it on the denylist of the seed, which then tells nobody about it.
func startComets(t *testing.T, count int) (seed *cometpeer.Node, nodes []*cometpeer.Node) {
	t.Helper()
	seed = cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "seed"})
	nodes = append(nodes, seed)
	for i := 1; i < count; i++ {
		n := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: fmt.Sprintf("comet-%d", i)})
		if err := n.Switch.DialPeersAsync([]string{seed.Address()}); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	waitFor(t, 60*time.Second, "the seed and the CometBFT nodes know each other", func() bool {
		for _, n := range nodes[1:] {
			if n.Peer(seed.ID()) == nil || seed.Peer(n.ID()) == nil {
				return false
			}
		}
		return seed.Book.Size() >= count-1
	})
	return seed, nodes
}

// TestJoin starts a node that knows only the seed of a network of six CometBFT switches. It must connect to all of
// them, each must show who we are, the address books must hold each other, and echoes of all sizes must return in
// order, both ways.
func TestJoin(t *testing.T) {
	seed, comets := startComets(t, 6)
	ours := node.Start(t, node.Config{
		Network: network, Moniker: "switchyard-1", Channels: []muxer.Channel{echoChannel}, PEX: &pex.Config{},
		Seeds: []string{seed.Address()},
	})
	began := time.Now()
	waitFor(t, 20*time.Second, "connected to all six", func() bool { return len(ours.Host.Peers()) == len(comets) })
	t.Logf("connected to all %d after %v", len(comets), time.Since(began))

	for _, c := range comets {
		var peer p2p.Peer
		waitFor(t, 5*time.Second, "the switch lists us", func() bool {
			peer = c.Switch.Peers().Get(cometID(ours))
			return peer != nil
		})
		info := peer.NodeInfo().(p2p.DefaultNodeInfo)
		if info.ID() != cometID(ours) || info.Moniker != "switchyard-1" || info.Network != network {
			t.Errorf("%s shows %+v", c.Info.Moniker, info)
		}
		got := slices.Sorted(slices.Values(info.Channels))
		if !bytes.Equal(got, []byte{pex.ChannelID, cometpeer.EchoChannel}) {
			t.Errorf("%s shows channels %x", c.Info.Moniker, got)
		}
		theirs, ok := ours.Host.Peer(transport.NodeID(c.ID()))
		if !ok || theirs.Moniker != c.Info.Moniker || theirs.Network != network || theirs.Wire != "comet" ||
			theirs.Security != "secretconn" || theirs.Muxer != "mconn" {
			t.Errorf("we show %+v for %s", theirs, c.Info.Moniker)
		}
	}
	self := ours.Address()
	own, err := p2p.NewNetAddressString(self.CometString())
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, 10*time.Second, "an address book of CometBFT holds our address", func() bool {
		return slices.ContainsFunc(comets, func(c *cometpeer.Node) bool { return c.Book.HasAddress(own) })
	})
	for _, c := range comets {
		waitFor(t, 10*time.Second, "our store holds the address of "+c.Info.Moniker, func() bool {
			return slices.ContainsFunc(ours.Host.PeerManager().Addresses(transport.NodeID(c.ID())),
				func(a transport.Address) bool {
					return a.CometString() == c.Address()
				})
		})
	}
	for _, c := range comets {
		t.Run("echo/"+c.Info.Moniker, func(t *testing.T) { echoes(t, ours, c) })
	}
}

// echoes sends messages of 1 B to 4 MiB both ways and compares what returns, in order.
func echoes(t *testing.T, ours *node.Node, c *cometpeer.Node) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var payloads [][]byte
	for _, size := range []int{1, 2, 3, 100, 1000, 1023, 1024, 1025, 2048, 4096, 65535, 65536, 1 << 20, 4 << 20, 0, 7} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		payloads = append(payloads, b)
	}
	ch, id := ours.Channels[0], transport.NodeID(c.ID())

	// We ask, CometBFT answers.
	sent := make(chan error, 1)
	go func() {
		for _, p := range payloads {
			if err := ch.Send(ctx, id, p); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i, want := range payloads {
		e, err := ch.Receive(ctx)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if e.From != id || !bytes.Equal(e.Message, want) {
			t.Fatalf("answer %d from %s has %d bytes and differs from the %d sent",
				i, e.From.Short(), len(e.Message), len(want))
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}

	// CometBFT asks, we answer.
	back := make(chan []byte, len(payloads))
	answer := c.Echo.Swap(func(e p2p.Envelope) { back <- e.Message.(*cometpeer.Raw).Bytes })
	defer func() { c.Echo.Swap(answer) }()
	go func() {
		peer := c.Peer(string(ours.Key.ID()))
		for _, p := range payloads {
			if !peer.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: &cometpeer.Raw{Bytes: p}}) {
				sent <- fmt.Errorf("CometBFT could not send %d bytes", len(p))
				return
			}
		}
		sent <- nil
	}()
	for i, want := range payloads {
		e, err := ch.Receive(ctx)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if err := ch.Send(ctx, e.From, e.Message); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-back:
			if !bytes.Equal(got, want) {
				t.Fatalf("CometBFT's message %d came back with %d bytes, different from its %d", i, len(got), len(want))
			}
		case <-ctx.Done():
			t.Fatalf("CometBFT's message %d did not come back", i)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// TestWrongNetwork checks that a node of another network is refused with that reason, whichever end dials.
func TestWrongNetwork(t *testing.T) {
	foreign := cometpeer.Start(t, cometpeer.Config{Network: "another-net", Moniker: "foreign"})
	ours := node.Start(t, node.Config{Network: network, Moniker: "ours", Channels: []muxer.Channel{echoChannel},
		PEX: &pex.Config{}})
	events := ours.Host.Events(t.Context())
	addr, err := transport.ParseAddress(foreign.Address())
	if err != nil {
		t.Fatal(err)
	}
	_, err = ours.Host.Dial(t.Context(), addr)
	wantReason(t, err, muxer.CodeWrongNetwork)

	at, _ := p2p.NewNetAddressString(ours.Address().CometString())
	_ = foreign.Switch.DialPeerWithAddress(at)
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e := <-events:
			if e.Kind == host.EventRefused && e.Inbound {
				wantReason(t, e.Reason, muxer.CodeWrongNetwork)
				return
			}
		case <-deadline:
			t.Fatal("no refusal of the inbound connection was reported")
		}
	}
}
