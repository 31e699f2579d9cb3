package interop

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/p2p"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometlp2p"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
)

// dual starts a node that speaks both wires, over TCP and QUIC, and on request echoes on the echo channel.
func dual(t *testing.T, echoes bool) *node.Node {
	n := node.Start(t, node.Config{Network: network, Moniker: "dual", Channels: []muxer.Channel{echoChannel},
		Tune: func(hc *host.Config) {
			secure := tls.New(tls.Config{})
			mux, err := yamux.New(yamux.Config{})
			if err != nil {
				t.Fatal(err)
			}
			w, err := libp2p.New(libp2p.Config{Identity: hc.Identity,
				Securities: []handshake.Security{noise.New(), secure},
				Muxers:     []muxer.StreamMuxer{mux}, Logger: hc.Logger})
			if err != nil {
				t.Fatal(err)
			}
			q, err := quic.New(quic.Config{},
				quic.Env{Identity: hc.Identity, TLS: secure, RemoteKey: tls.RemoteKey, Logger: hc.Logger})
			if err != nil {
				t.Fatal(err)
			}
			hc.Wires, hc.Transports = append(hc.Wires, w), append(hc.Transports, q)
			hc.Listen = append(hc.Listen, ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1"))
		}})
	if echoes {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				e, err := n.Channels[0].Receive(ctx)
				if err != nil {
					return
				}
				_ = n.Channels[0].Send(ctx, e.From, e.Message)
			}
		}()
		t.Cleanup(func() { cancel(); <-done })
	}
	return n
}

// quicPort returns the node's QUIC port.
func quicPort(t *testing.T, n *node.Node) string {
	for _, a := range n.Host.ListenAddrs() {
		if port, err := a.ValueForProtocol(ma.P_UDP); err == nil {
			return port
		}
	}
	t.Fatal("the node does not listen over QUIC")
	return ""
}

// lp2pSizes holds the sizes of the messages: CometBFT's libp2p mode has no empty ones.
var lp2pSizes = []int{1, 100, 1023, 1024, 65536, 1 << 20, 4 << 20}

// TestCometOverLibp2pDialsUs starts a CometBFT node in its libp2p mode with us among its first peers. It must get its
// messages back, while another CometBFT node, over TCP, is connected to the same node of ours and gets its own back.
func TestCometOverLibp2pDialsUs(t *testing.T) {
	ours := dual(t, true)
	plain := cometpeer.Start(t, cometpeer.Config{Network: network, NoPEX: true})
	at, err := p2p.NewNetAddressString(ours.Address().CometString())
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Switch.DialPeerWithAddress(at); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 10*time.Second, "the CometBFT node over TCP is connected", func() bool {
		_, up := ours.Host.Peer(transport.NodeID(plain.ID()))
		return up && plain.Peer(string(ours.Key.ID())) != nil
	})

	self := ours.Key.Public().PeerID()
	theirs := cometlp2p.Start(t,
		cometlp2p.Config{Network: network,
			Peers: []config.LibP2PBootstrapPeer{{Host: "127.0.0.1:" + quicPort(t, ours), ID: self}}})
	got := make(chan []byte, 1)
	theirs.Echo.Swap(func(e p2p.Envelope) { got <- e.Message.(*cometpeer.Raw).Bytes })
	peer := theirs.Peer(self)
	if peer == nil {
		t.Fatal("CometBFT's libp2p switch has no peer")
	}
	for _, size := range lp2pSizes {
		want := pattern(size)
		if !peer.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: &cometpeer.Raw{Bytes: want}}) {
			t.Fatalf("CometBFT could not send %d bytes", size)
		}
		await(t, got, want)
	}
	tcpGot := make(chan []byte, 1)
	plain.Echo.Swap(func(e p2p.Envelope) { tcpGot <- e.Message.(*cometpeer.Raw).Bytes })
	want := pattern(5000)
	if !plain.Peer(string(ours.Key.ID())).Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel,
		Message: &cometpeer.Raw{Bytes: want}}) {
		t.Fatal("CometBFT could not send over TCP")
	}
	await(t, tcpGot, want)
}

// TestCometOverLibp2pIsDialed dials a CometBFT node in its libp2p mode, whose echo reactor must return our messages.
func TestCometOverLibp2pIsDialed(t *testing.T) {
	theirs := cometlp2p.Start(t, cometlp2p.Config{Network: network})
	ours := dual(t, false)
	addr, err := transport.ParseAddress(theirs.Address())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	info, err := ours.Host.Dial(ctx, addr)
	for err == nil && !slices.Contains(info.Channels, cometpeer.EchoChannel) {
		// go-libp2p says in identify which protocols it had a moment ago, so a node that has just started has none.
		ours.Host.Disconnect(info.ID, muxer.CodeRequested, "its channels are not there yet")
		info, err = ours.Host.Dial(ctx, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range lp2pSizes {
		want := pattern(size)
		if err := ours.Channels[0].Send(ctx, info.ID, want); err != nil {
			t.Fatalf("send %d bytes: %v", size, err)
		}
		e, err := ours.Channels[0].Receive(ctx)
		if err != nil {
			t.Fatalf("%d bytes did not come back: %v", size, err)
		}
		if !bytes.Equal(e.Message, want) || e.From != info.ID {
			t.Fatalf("%d bytes came back from %s as %d others", size, e.From, len(e.Message))
		}
	}
	// Many at once: this wire does not keep the order, so each message holds its number.
	const n = 200
	for i := range n {
		if err := ours.Channels[0].Send(ctx, info.ID, []byte(fmt.Sprintf("message %d", i))); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for range n {
		e, err := ours.Channels[0].Receive(ctx)
		if err != nil {
			t.Fatalf("%d of %d came back: %v", len(seen), n, err)
		}
		seen[string(e.Message)] = true
	}
	if len(seen) != n {
		t.Errorf("%d different messages came back, want %d", len(seen), n)
	}
}

func await(t *testing.T, got <-chan []byte, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case b := <-got:
		if !bytes.Equal(b, want) {
			t.Fatalf("%d bytes came back as %d others", len(want), len(b))
		}
	case <-ctx.Done():
		t.Fatalf("%d bytes did not come back", len(want))
	}
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + size)
	}
	return b
}
