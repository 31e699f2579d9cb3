package main

import (
	"context"
	"errors"
	"sync"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	wire "github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

const benchChannel = 0x7e

// node is a running host of ours with one channel.
type node struct {
	*host.Host
	key     *handshake.NodeKey
	channel *host.Channel
	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// newOurs starts a host with one transport and one security, and with limits that no measurement reaches. Each of
// prepare is called before it runs.
func newOurs(via string, listen bool, prepare ...func(*node) error) (*node, error) {
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		return nil, err
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	secure := tls.New(tls.Config{})
	c := wire.Config{Identity: key, Muxers: []muxer.StreamMuxer{mux}, Securities: []handshake.Security{secure}}
	if via == "noise" {
		c.Securities[0] = noise.New()
	}
	w, err := wire.New(c)
	if err != nil {
		return nil, err
	}
	var carrier transport.Transport = tcp.New(tcp.Config{})
	port := "/tcp/0"
	if via == "quic" {
		port = "/udp/0/quic-v1"
		env := quic.Env{Identity: key, TLS: secure, RemoteKey: tls.RemoteKey}
		if carrier, err = quic.New(quic.Config{}, env); err != nil {
			return nil, err
		}
	}
	cfg := host.Config{
		Network: network, Moniker: "bench", Version: "bench", Identity: key, Store: memory.New(peerstore.Limits{}),
		Transports: []transport.Transport{carrier}, Wires: []handshake.Wire{w},
		Peers: peers.Config{MaxInbound: 1000, MaxOutbound: -1}, // no dials of its own
		Handshake: host.HandshakeConfig{Limits: handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20,
			AttemptsPerIP: 1 << 30}},
	}
	if listen {
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/" + benchkit.FreshIP() + port)}
	}
	n := &node{key: key}
	if n.Host, err = host.New(context.Background(), cfg); err != nil {
		return nil, err
	}
	if n.channel, err = n.OpenChannel(muxer.Channel{ID: benchChannel}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.ctx = cancel, ctx
	for _, fn := range prepare {
		if err := fn(n); err != nil {
			return nil, err
		}
	}
	n.done.Go(func() { _ = n.Run(ctx) })
	_ = n.WaitListening(ctx)
	if listen && len(n.ListenAddrs()) == 0 {
		return nil, errors.New("our node does not listen")
	}
	return n, nil
}

func (n *node) close() {
	n.cancel()
	n.done.Wait()
}

func (n *node) address() (transport.Address, error) {
	return transport.NewAddress(n.ListenAddrs()[0], n.key.Public().PeerID())
}

func newOurPair(via string) func() (benchkit.Pair, error) {
	return func() (benchkit.Pair, error) { return linkOurs(via, nil) }
}

// linkOurs makes two linked hosts. handle, unless nil, serves the application's stream at the second.
func linkOurs(via string, handle host.StreamHandler) (*hosttest.Pair, error) {
	a, err := newOurs(via, false)
	if err != nil {
		return nil, err
	}
	b, err := newOurs(via, true)
	if err != nil {
		return nil, err
	}
	if handle != nil {
		if err := b.HandleStream(benchProtocol, handle); err != nil {
			return nil, err
		}
	}
	addr, err := b.address()
	if err != nil {
		return nil, err
	}
	p := &hosttest.Pair{A: a.Host, B: b.Host, FromA: a.channel, AtB: b.channel, End: func() { a.close(); b.close() }}
	return p, p.Link(addr)
}

func newOurStar(via string) func(n int) (benchkit.Star, error) {
	return func(n int) (benchkit.Star, error) {
		hub, err := newOurs(via, true)
		if err != nil {
			return nil, err
		}
		addr, err := hub.address()
		if err != nil {
			return nil, err
		}
		nodes := []*node{hub}
		var dialers []*host.Host
		for range n {
			d, err := newOurs(via, false)
			if err != nil {
				return nil, err
			}
			nodes, dialers = append(nodes, d), append(dialers, d.Host)
		}
		return hosttest.NewStar(hub.Host, addr, dialers, func() {
			for _, n := range nodes {
				n.close()
			}
		}), nil
	}
}
