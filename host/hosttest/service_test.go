package hosttest_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/peerstore"
	store "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// way is one way to link two nodes.
type way struct {
	name      string
	listen    string
	transport func(*handshake.NodeKey) (transport.Transport, error)
	wire      func(*handshake.NodeKey) (handshake.Wire, error)
	want      [4]string // wire, transport, security, muxer
}

func ways() []way {
	tcps := func(*handshake.NodeKey) (transport.Transport, error) { return tcp.New(tcp.Config{}), nil }
	quics := func(k *handshake.NodeKey) (transport.Transport, error) {
		return quic.New(quic.Config{}, quic.Env{Identity: k, TLS: tls.New(tls.Config{}), RemoteKey: tls.RemoteKey})
	}
	inMemory := func() func(*handshake.NodeKey) (transport.Transport, error) {
		n := memory.NewNetwork(memory.Config{})
		return func(*handshake.NodeKey) (transport.Transport, error) { return n.NewTransport(memory.HostConfig{}), nil }
	}
	const onTCP, onUDP, onMemory = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/memory/0"
	return []way{
		{"comet over TCP", onTCP, tcps, cometWire, [4]string{"comet", "tcp", "secretconn", "mconn"}},
		{"libp2p over TCP with Noise", onTCP, tcps, libp2pWire(noise.New()),
			[4]string{"libp2p", "tcp", "noise", "yamux"}},
		{"libp2p over TCP with TLS", onTCP, tcps, libp2pWire(tls.New(tls.Config{})),
			[4]string{"libp2p", "tcp", "tls", "yamux"}},
		{"libp2p over QUIC", onUDP, quics, libp2pWire(noise.New()), [4]string{"libp2p", "quic", "tls", "quic"}},
		{"comet in memory", onMemory, inMemory(), cometWire, [4]string{"comet", "memory", "secretconn", "mconn"}},
		{"libp2p in memory", onMemory, inMemory(), libp2pWire(noise.New()),
			[4]string{"libp2p", "memory", "noise", "yamux"}},
	}
}

func cometWire(k *handshake.NodeKey) (handshake.Wire, error) {
	return comet.New(comet.Config{
		Identity: k,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
			check func(handshake.PublicKey) error) (comet.Secured, error) {
			c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
			if err != nil {
				return comet.Secured{}, err
			}
			return comet.Secured{Reader: c, Binding: c.Binding,
				Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
					return mconn.New(c, side, channels, mconn.Config{})
				}}, nil
		},
	})
}

func libp2pWire(s handshake.Security) func(*handshake.NodeKey) (handshake.Wire, error) {
	return func(k *handshake.NodeKey) (handshake.Wire, error) {
		mux, err := yamux.New(yamux.Config{})
		if err != nil {
			return nil, err
		}
		return libp2p.New(libp2p.Config{Identity: k, Securities: []handshake.Security{s},
			Muxers: []muxer.StreamMuxer{mux}})
	}
}

// counter is a service as an application would write it: it knows a channel and nothing else. It counts the messages of
// each peer and sends them back.
type counter struct {
	ch host.Typed[wrapperspb.BytesValue, *wrapperspb.BytesValue]

	mu     sync.Mutex
	counts map[transport.NodeID]int
}

func (c *counter) serve(ctx context.Context) {
	for {
		from, m, err := c.ch.Receive(ctx)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.counts[from]++
		c.mu.Unlock()
		if err := c.ch.Send(ctx, from, m); err != nil {
			return
		}
	}
}

func (c *counter) of(id transport.NodeID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[id]
}

// node is a host with the service's channel. One of two serves it, the other's test asks.
type node struct {
	*host.Host
	service *counter
}

func (w way) node(t *testing.T, serves bool, tune ...func(*host.Config)) *node {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := w.transport(key)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := w.wire(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := host.Config{Network: "service", Identity: key, Store: store.New(peerstore.Limits{}),
		Transports: []transport.Transport{tr},
		Wires:      []handshake.Wire{wire}, Listen: []ma.Multiaddr{ma.StringCast(w.listen)}}
	for _, fn := range tune {
		fn(&cfg)
	}
	h, err := host.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := h.OpenChannel(muxer.Channel{ID: 0x71, Name: "/test/echoes/1", MaxMessage: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{h, &counter{ch: host.NewTyped[wrapperspb.BytesValue](ch), counts: map[transport.NodeID]int{}}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	if serves {
		wg.Go(func() { n.service.serve(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	_ = h.WaitListening(context.Background())
	return n
}

// address is where the node listens, over its only wire.
func (n *node) address(t *testing.T) transport.Address {
	t.Helper()
	if all := n.SelfAddresses(); len(all) == 1 {
		return all[0]
	}
	t.Fatalf("the addresses are %v", n.SelfAddresses())
	return transport.Address{}
}

func payload(i int) *wrapperspb.BytesValue {
	size := []int{0, 1, 100, 1024, 1025, 50_000}[i%6]
	if i == 77 {
		size = 1 << 20
	}
	b := make([]byte, size)
	for k := range b {
		b[k] = byte(i + k)
	}
	return wrapperspb.Bytes(append(fmt.Appendf(nil, "%d:", i), b...))
}

// One service, written once, does the same over every wire and transport: typed messages of all sizes come back whole
// and in order, and are counted; after a reconnection too.
func TestOneServiceOverAllWires(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			server, client := w.node(t, true), w.node(t, false)
			const rounds, each = 3, 200
			for round := range rounds {
				info, err := client.Dial(ctx, server.address(t))
				if err != nil {
					t.Fatal(err)
				}
				if got := [4]string{info.Wire, info.Transport, info.Security, info.Muxer}; got != w.want ||
					info.ID != server.Self() || info.Guest || info.Network != "service" {
					t.Errorf("the peer is %+v, want %v", info, w.want)
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					for i := range each {
						if err := client.service.ch.Send(ctx, server.Self(), payload(i)); err != nil {
							t.Errorf("message %d: %v", i, err)
							return
						}
					}
				})
				for i := range each {
					from, m, err := client.service.ch.Receive(ctx)
					if err != nil {
						t.Fatalf("echo %d: %v", i, err)
					}
					if from != server.Self() || string(m.GetValue()) != string(payload(i).GetValue()) {
						t.Fatalf("echo %d is %d bytes from %s: %.40q", i, len(m.GetValue()), from, m.GetValue())
					}
				}
				wg.Wait()
				if n := server.service.of(client.Self()); n != (round+1)*each {
					t.Errorf("the service has counted %d messages, want %d", n, (round+1)*each)
				}
				if n := server.service.ch.Broadcast(payload(0)); n != 1 {
					t.Errorf("a broadcast has reached %d peers", n)
				}
				if _, m, err := client.service.ch.Receive(ctx); err != nil ||
					string(m.GetValue()) != string(payload(0).GetValue()) {
					t.Errorf("a broadcast came as %v, %v", m, err)
				}
				if round == rounds-1 {
					break
				}
				theirs, ours := server.Subscribe(ctx), client.Subscribe(ctx)
				wantUpdate(t, ctx, theirs, host.PeerUp)
				wantUpdate(t, ctx, ours, host.PeerUp)
				server.Disconnect(client.Self(), muxer.CodeRequested, "again")
				wantUpdate(t, ctx, theirs, host.PeerDown)
				if why := wantUpdate(t, ctx, ours, host.PeerDown); w.want[0] == transport.WireLibp2p &&
					(why.Code != muxer.CodeRequested || !why.Remote) {
					t.Errorf("the end that the remote gave a reason for was told as %v", why)
				}
				theirs.Close()
				ours.Close()
			}
		})
	}
}

// wantUpdate takes a subscriber's next update, and returns the reason that it gives.
func wantUpdate(t *testing.T, ctx context.Context, s *host.Subscription, want host.UpdateStatus) *host.DisconnectError {
	t.Helper()
	u, err := s.Next(ctx)
	if err != nil || u.Status != want {
		t.Fatalf("the update is %+v (%v), want %v", u, err, want)
	}
	return u.Reason
}
