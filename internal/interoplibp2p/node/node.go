// Package node builds whole Switchyard nodes from plain constructors, with both wires on every transport, for tests
// with real libp2p peers.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

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
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// Echo is the protocol of the echo service's streams, and Agent the nodes' agent string.
const (
	Echo    = "/echo/1.0.0"
	Agent   = "switchyard/test"
	Network = "libp2p-test"
)

// Config describes a node. The zero value is a node with a fresh key that echoes and listens on loopback, over TCP and
// QUIC.
type Config struct {
	Moniker  string
	Key      *handshake.NodeKey // nil makes one
	Channels []muxer.Channel    // beside the echo service's
	Tune     func(*host.Config)
}

// Node is a running node.
type Node struct {
	Host     *host.Host
	Key      *handshake.NodeKey
	Channels []*host.Channel
	cancel   context.CancelFunc
	done     sync.WaitGroup
	ended    error
}

// Start runs a node until the test ends.
func Start(tb testing.TB, c Config) *Node {
	tb.Helper()
	n, err := New(c)
	if err != nil {
		tb.Fatalf("start a node: %v", err)
	}
	tb.Cleanup(n.Stop)
	return n
}

// New is Start for callers that are not tests. They call Stop.
func New(c Config) (*Node, error) {
	n := &Node{Key: c.Key}
	var err error
	if n.Key == nil {
		if n.Key, err = handshake.GenerateNodeKey(); err != nil {
			return nil, err
		}
	}
	if c.Moniker == "" {
		c.Moniker = "ours"
	}
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("SWITCHYARD_LOG") != "" {
		opts := &slog.HandlerOptions{Level: slog.LevelDebug}
		logger = slog.New(slog.NewTextHandler(os.Stderr, opts)).With("node", c.Moniker)
	}
	wires, err := Wires(n.Key, logger)
	if err != nil {
		return nil, err
	}
	transports, listen, err := Transports(n.Key, logger)
	if err != nil {
		return nil, err
	}
	hc := host.Config{
		Network: Network, Moniker: c.Moniker, Version: Agent, Identity: n.Key, Store: memory.New(peerstore.Limits{}),
		Transports: transports, Wires: wires, Logger: logger, Listen: listen,
	}
	if c.Tune != nil {
		c.Tune(&hc)
	}
	if n.Host, err = host.New(context.Background(), hc); err != nil {
		return nil, err
	}
	for _, desc := range c.Channels {
		ch, err := n.Host.OpenChannel(desc)
		if err != nil {
			return nil, err
		}
		n.Channels = append(n.Channels, ch)
	}
	services, err := serve(n.Host, logger)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.done.Go(func() { n.ended = n.Host.Run(ctx) })
	for _, run := range services {
		n.done.Go(func() { _ = run(ctx) })
	}
	_ = n.Host.WaitListening(ctx)
	if len(n.Host.ListenAddrs()) < len(hc.Listen) {
		n.Stop()
		return nil, fmt.Errorf("not listening: %w", n.ended)
	}
	return n, nil
}

// Wires returns both wires, with all securities and muxers.
func Wires(id handshake.Identity, logger *slog.Logger) ([]handshake.Wire, error) {
	c, err := comet.New(comet.Config{
		Identity: id,
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
	if err != nil {
		return nil, err
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	l, err := libp2p.New(libp2p.Config{
		Identity:   id,
		Securities: []handshake.Security{noise.New(), tls.New(tls.Config{})},
		Muxers:     []muxer.StreamMuxer{mux},
		Logger:     logger,
	})
	if err != nil {
		return nil, err
	}
	return []handshake.Wire{c, l}, nil
}

// Transports returns the transports, and a free loopback address of each.
func Transports(id handshake.Identity, logger *slog.Logger) ([]transport.Transport, []ma.Multiaddr, error) {
	q, err := quic.New(quic.Config{},
		quic.Env{Identity: id, TLS: tls.New(tls.Config{}), RemoteKey: tls.RemoteKey, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return []transport.Transport{tcp.New(tcp.Config{}), q},
		[]ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0"), ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")}, nil
}

// Stop ends the node and waits for it. It may be called twice.
func (n *Node) Stop() {
	n.cancel()
	n.done.Wait()
}

// Listen returns where the node listens over a transport, "tcp" or "quic".
func (n *Node) Listen(name string) ma.Multiaddr {
	code := map[string]int{"tcp": ma.P_TCP, "quic": ma.P_QUIC_V1}[name]
	addrs := n.Host.ListenAddrs()
	i := slices.IndexFunc(addrs, func(a ma.Multiaddr) bool {
		_, err := a.ValueForProtocol(code)
		return err == nil
	})
	if i < 0 {
		panic(fmt.Sprintf("the node does not listen over %s: %v", name, addrs))
	}
	return addrs[i]
}

// PeerID returns the node's id for go-libp2p.
func (n *Node) PeerID() peer.ID {
	id, err := peer.Decode(n.Key.Public().PeerID())
	if err != nil {
		panic(err)
	}
	return id
}

// Info returns how go-libp2p dials the node over a transport.
func (n *Node) Info(name string) peer.AddrInfo {
	return peer.AddrInfo{ID: n.PeerID(), Addrs: []ma.Multiaddr{n.Listen(name)}}
}

// CometAddress returns where CometBFT dials the node, as id@host:port.
func (n *Node) CometAddress() string {
	a, err := transport.ParseAddress(n.Listen("tcp").String() + "/mconn/" + string(n.Key.ID()))
	if err != nil {
		panic(err)
	}
	return a.CometString()
}

// Await polls until a condition is true, for at most 10 s.
func Await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); !ok(); <-again.C {
		if time.Since(began) > 10*time.Second {
			tb.Fatalf("not within 10 s: %s", what)
		}
	}
}
