// Package wire tests our libp2p wire with go-libp2p hosts, over TCP.
package wire

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	gotcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	wire "github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
	ouryamux "github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// testTimeout bounds what a broken test may take; no test waits for it.
const testTimeout = 30 * time.Second

const echoProtocol = "/echo/1.0.0"

// node is a listener of ours and an upgrader with the libp2p wire.
type node struct {
	t        *testing.T
	key      *handshake.NodeKey
	upgrader *handshake.Upgrader
	tcp      *tcp.Transport
	listener transport.Listener
	ctx      context.Context

	links chan *link
	wg    sync.WaitGroup
}

// link is one of our running links.
type link struct {
	*handshake.Link
	ended chan error
}

// open opens a stream and waits until the remote has taken its protocol.
func (l *link) open(ctx context.Context, protocol string) (muxer.Stream, error) {
	s, err := l.Session.OpenStream(ctx, protocol)
	if err == nil {
		_, err = s.Read(nil)
	}
	return s, err
}

// handler echoes streams.
type handler struct{}

func (handler) Established()                                   {}
func (handler) Deliver(context.Context, []muxer.Message) error { return nil }
func (handler) Serves(p string) bool                           { return p == echoProtocol }
func (handler) ServeStream(_ context.Context, s muxer.Stream) {
	_ = s.SetDeadline(time.Now().Add(testTimeout))
	if _, err := io.Copy(s, s); err != nil {
		_ = s.Reset(muxer.CodeUnknown)
		return
	}
	_ = s.Close()
}

func securityOf(name string) handshake.Security {
	if name == "tls" {
		return tls.New(tls.Config{})
	}
	return noise.New()
}

// newNode starts a node that offers only the named securities.
func newNode(t *testing.T, seed byte, securities ...string) *node {
	t.Helper()
	n := &node{t: t, key: handshake.NewIdentity([handshake.SeedSize]byte{seed}), tcp: tcp.New(tcp.Config{}),
		links: make(chan *link, 100)}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	n.ctx = ctx
	mux, err := ouryamux.New(ouryamux.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := wire.Config{Identity: n.key, Muxers: []muxer.StreamMuxer{mux}}
	for _, s := range securities {
		cfg.Securities = append(cfg.Securities, securityOf(s))
	}
	w, err := wire.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.upgrader, err = handshake.NewUpgrader(handshake.Config{
		Self: n.key.ID(), Wires: []handshake.Wire{w},
		Local: func(transport.Conn) handshake.NodeInfo {
			return handshake.NodeInfo{ID: n.key.ID(), Moniker: "ours", Network: "test", Version: "switchyard/test",
				Protocols: []string{echoProtocol}, Listen: []string{n.listener.Addr().String()}}
		},
		Channels: func() []muxer.Channel { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.listener, err = n.tcp.Listen(ctx, ma.StringCast("/ip4/127.0.0.1/tcp/0"), n.upgrader.Admit)
	if err != nil {
		t.Fatal(err)
	}
	n.wg.Go(n.accept)
	t.Cleanup(func() {
		cancel()
		n.listener.Close()
		n.wg.Wait()
	})
	return n
}

func (n *node) accept() {
	for {
		raw, ticket, err := n.listener.Accept(n.ctx)
		if err != nil {
			return
		}
		n.wg.Go(func() {
			l, err := n.upgrader.Inbound(n.ctx, raw, ticket)
			if err != nil {
				if n.ctx.Err() == nil {
					n.t.Logf("inbound: %v", err)
				}
				return
			}
			n.links <- n.run(l)
		})
	}
}

func (n *node) run(l *handshake.Link) *link {
	out := &link{l, make(chan error, 1)}
	n.wg.Go(func() { out.ended <- l.Session.Run(n.ctx, handler{}) })
	return out
}

// dial connects to a host of go-libp2p.
func (n *node) dial(to host.Host) (*link, error) {
	n.t.Helper()
	addr, err := transport.NewAddress(to.Addrs()[0], to.ID().String())
	if err != nil {
		n.t.Fatal(err)
	}
	return n.dialAddress(addr)
}

func (n *node) dialAddress(addr transport.Address) (*link, error) {
	raw, err := n.tcp.Dial(n.ctx, addr.Multiaddr())
	if err != nil {
		return nil, err
	}
	l, err := n.upgrader.Outbound(n.ctx, raw, addr, 0)
	if err != nil {
		return nil, err
	}
	return n.run(l), nil
}

// addrInfo returns how go-libp2p names us.
func (n *node) addrInfo() peer.AddrInfo {
	id, err := peer.Decode(n.key.Public().PeerID())
	if err != nil {
		n.t.Fatal(err)
	}
	return peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{n.listener.Addr()}}
}

// newHost starts a go-libp2p host that has only the named securities and echoes streams.
func newHost(t *testing.T, securities ...string) host.Host {
	t.Helper()
	opts := []libp2p.Option{
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(gotcp.NewTCPTransport),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.UserAgent("go-libp2p/test"),
	}
	if slices.Contains(securities, "noise") {
		opts = append(opts, libp2p.Security(gonoise.ID, gonoise.New))
	}
	if slices.Contains(securities, "tls") {
		opts = append(opts, libp2p.Security(gotls.ID, gotls.New))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		_ = s.SetDeadline(time.Now().Add(testTimeout))
		if _, err := io.Copy(s, s); err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	})
	t.Cleanup(func() { h.Close() })
	return h
}
