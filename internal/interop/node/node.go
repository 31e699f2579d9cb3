// Package node builds Switchyard nodes from plain constructors, for tests and benchmarks beside real peers.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// Config describes a node. With Network alone it is a node without channels on a free loopback port.
type Config struct {
	Network  string
	Moniker  string
	Key      *handshake.NodeKey // nil makes one
	Store    peerstore.Store    // nil keeps peers in memory
	Channels []muxer.Channel
	PEX      *pex.Config // nil runs none
	Seeds    []string    // first addresses, id@host:port or multiaddrs
	Mconn    mconn.Config
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

// TCP returns the transport of nodes.
func TCP() transport.Transport { return tcp.New(tcp.Config{}) }

// Wire returns the comet wire of nodes.
func Wire(id handshake.Identity, cfg mconn.Config) (handshake.Wire, error) {
	return comet.New(comet.Config{
		Identity: id,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
			check func(handshake.PublicKey) error) (comet.Secured, error) {
			c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
			if err != nil {
				return comet.Secured{}, err
			}
			return comet.Secured{Reader: c, Binding: c.Binding,
				Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
					return mconn.New(c, side, channels, cfg)
				}}, nil
		},
	})
}

// Upgrader returns the upgrader of a throw-away node with the echo channel, which signs with id.
func Upgrader(network string, id handshake.Identity, self transport.NodeID,
	limits handshake.Limits) (*handshake.Upgrader, error) {
	w, err := Wire(id, mconn.Config{})
	if err != nil {
		return nil, err
	}
	info := handshake.NodeInfo{ID: self, Moniker: "bench", Network: network, Version: "bench",
		Channels: []byte{0x7e}, Listen: []string{"/ip4/127.0.0.1/tcp/26656"},
		P2PVersion: handshake.P2PVersion, BlockVersion: handshake.BlockVersion}
	channels := []muxer.Channel{{ID: 0x7e}}
	return handshake.NewUpgrader(handshake.Config{Self: self, Wires: []handshake.Wire{w}, Limits: limits,
		Local: func(transport.Conn) handshake.NodeInfo { return info }, Channels: func() []muxer.Channel {
			return channels
		}})
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
	w, err := Wire(n.Key, c.Mconn)
	if err != nil {
		return nil, err
	}
	if c.Store == nil {
		c.Store = memory.New(peerstore.Limits{})
	}
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("SWITCHYARD_LOG") != "" {
		opts := &slog.HandlerOptions{Level: slog.LevelDebug}
		logger = slog.New(slog.NewTextHandler(os.Stderr, opts)).With("node", c.Moniker)
	}
	hc := host.Config{
		Network: c.Network, Moniker: c.Moniker, Version: "switchyard/test", Identity: n.Key, Store: c.Store,
		Transports: []transport.Transport{TCP()}, Wires: []handshake.Wire{w}, Logger: logger,
		Listen: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0")},
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
	var source discovery.Source
	if c.PEX != nil {
		if source, err = pex.New(*c.PEX, discovery.Env{Logger: logger, OpenChannel: n.Host.OpenChannel}); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Seeds {
		a, err := transport.ParseAddress(s)
		if err != nil {
			return nil, err
		}
		n.Host.PeerManager().Add(a, peerstore.Source{Kind: "config"})
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.done.Go(func() { n.ended = n.Host.Run(ctx) })
	if source != nil {
		n.done.Go(func() {
			_ = source.Run(ctx, n.Host, func(a transport.Address, from transport.NodeID) {
				n.Host.PeerManager().Add(a, peerstore.Source{Kind: "pex", From: from})
			})
		})
	}
	_ = n.Host.WaitListening(ctx)
	if len(n.Host.ListenAddrs()) < len(hc.Listen) {
		n.Stop()
		return nil, fmt.Errorf("not listening: %w", n.ended)
	}
	return n, nil
}

// Stop ends the node and waits for it. It may be called twice.
func (n *Node) Stop() {
	n.cancel()
	n.done.Wait()
}

// Address returns where the node listens.
func (n *Node) Address() transport.Address {
	a, err := transport.ParseAddress(n.Host.ListenAddrs()[0].String() + "/mconn/" + string(n.Key.ID()))
	if err != nil {
		panic(err)
	}
	return a
}
