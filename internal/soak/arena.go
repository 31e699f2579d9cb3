package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
)

// arena is where attackers meet the nodes.
type arena struct {
	nodes []*node
	seed  uint64

	mu     sync.Mutex // guards what follows
	rounds map[string]int
	failed map[string]int
	last   map[string]error
}

func newArena(nodes []*node, seed uint64) *arena {
	return &arena{nodes: nodes, seed: seed, rounds: map[string]int{}, failed: map[string]int{},
		last: map[string]error{}}
}

// repeat makes one attacker's rounds until ctx ends.
func (a *arena) repeat(ctx context.Context, of attack, number int) {
	r := rand.New(rand.NewPCG(a.seed, uint64(number)<<32|uint64(len(of.name))))
	for ctx.Err() == nil {
		roundCtx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		err := of.round(roundCtx, &attacker{Rand: r, arena: a})
		cancel()
		a.mu.Lock()
		a.rounds[of.name]++
		if err != nil && ctx.Err() == nil {
			a.failed[of.name]++
			a.last[of.name] = err
		}
		a.mu.Unlock()
		wait(ctx, of.pause/2+time.Duration(r.Int64N(int64(of.pause))))
	}
}

// summary says what each attack came to. An attack whose every round failed shows nothing, so it is told apart.
func (a *arena) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-14s %8s %8s  %s\n", "attack", "rounds", "failed", "last error")
	for _, at := range attacks {
		if a.rounds[at.name] > 0 {
			last := ""
			if err := a.last[at.name]; err != nil {
				last = fmt.Sprintf("%.100s", strings.ReplaceAll(err.Error(), "\n", " "))
			}
			fmt.Fprintf(&b, "%-14s %8d %8d  %s\n", at.name, a.rounds[at.name], a.failed[at.name], last)
		}
	}
	return b.String()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// attacker makes one round.
type attacker struct {
	*rand.Rand
	arena *arena
}

func (a *attacker) victim() *node { return a.arena.nodes[a.IntN(len(a.arena.nodes))] }

// source is a fresh address: of loopback, or of a network that limits per IP hold for.
func (a *attacker) source() net.IP {
	if a.IntN(2) == 0 {
		return net.IPv4(127, 66, byte(a.IntN(256)), byte(1+a.IntN(250)))
	}
	return net.IPv4(10, byte(a.IntN(256)), byte(a.IntN(256)), byte(1+a.IntN(250)))
}

// dial connects over TCP.
func (a *attacker) dial(ctx context.Context, n *node) (*conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: a.source()}, Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", n.addr())
	if err != nil {
		return nil, err
	}
	return &conn{c}, nil
}

// conn is a TCP connection as a transport.Conn.
type conn struct{ net.Conn }

func (c *conn) LocalMultiaddr() ma.Multiaddr {
	return transport.TCPMultiaddr(transport.AddrPortOf(c.LocalAddr()))
}
func (c *conn) RemoteMultiaddr() ma.Multiaddr {
	return transport.TCPMultiaddr(transport.AddrPortOf(c.RemoteAddr()))
}
func (c *conn) RemoteIP() netip.Addr { return transport.AddrPortOf(c.RemoteAddr()).Addr() }

// identity is a throwaway key with the wires of a node.
type identity struct {
	key    *handshake.NodeKey
	comet  handshake.Wire
	libp2p handshake.Wire
	quic   *quic.Transport
	tap    *tap // what libp2p over TCP was muxed on
}

func newIdentity() (*identity, error) {
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		return nil, err
	}
	id := &identity{key: key}
	log := slog.New(slog.DiscardHandler)
	if id.comet, err = stock.Comet(mconn.Config{}, 0, key, log); err != nil {
		return nil, err
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	id.tap = &tap{StreamMuxer: mux}
	secure := tls.New(tls.Config{})
	id.libp2p, err = stock.Libp2p(stock.Libp2pConfig{}, 0, key, []handshake.Security{noise.New(), secure},
		[]muxer.StreamMuxer{id.tap}, log)
	if err != nil {
		return nil, err
	}
	id.quic, err = stock.QUIC(quic.Config{}, 0, key, secure, nil, log)
	return id, err
}

// tap is a muxer that shows the connection on which it works.
type tap struct {
	muxer.StreamMuxer
	conn net.Conn
}

func (t *tap) New(c net.Conn, side muxer.Side) (muxer.Streams, error) {
	t.conn = c
	return t.StreamMuxer.New(c, side)
}

// Kinds of links.
const (
	overComet = iota
	overYamux
	overQUIC
	kinds
)

// link makes the whole handshake with n, as a node of a network.
func (a *attacker) link(ctx context.Context, n *node, kind int, network string) (*identity, *handshake.Link, error) {
	id, err := newIdentity()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	wire := id.libp2p
	text := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", n.port, n.peerID)
	switch kind {
	case overComet:
		wire, text = id.comet, fmt.Sprintf("%s@%s", n.id, n.addr())
	case overQUIC:
		text = fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", n.port, n.peerID)
	}
	addr, err := transport.ParseAddress(text)
	if err != nil {
		return nil, nil, err
	}
	var raw transport.Conn
	if kind == overQUIC {
		raw, err = id.quic.Dial(ctx, addr.Multiaddr())
	} else {
		raw, err = a.dial(ctx, n)
	}
	if err != nil {
		_ = id.quic.Close()
		return nil, nil, err
	}
	info := handshake.NodeInfo{
		ID: id.key.ID(), PeerID: id.key.Public().PeerID(), Moniker: "attacker", Network: network, Version: "1",
		Channels: []byte{pexChannel.ID, echoChannel.ID}, Listen: []string{"/ip4/127.66.1.1/tcp/1"},
		P2PVersion: handshake.P2PVersion, BlockVersion: handshake.BlockVersion,
	}
	u, err := handshake.NewUpgrader(handshake.Config{
		Self: id.key.ID(), Wires: []handshake.Wire{wire},
		Local:    func(transport.Conn) handshake.NodeInfo { return info },
		Channels: func() []muxer.Channel { return []muxer.Channel{pexChannel, echoChannel} },
	})
	var link *handshake.Link
	if err == nil {
		link, err = u.Outbound(ctx, raw, addr, 0)
	}
	if err == nil && link.Confirm != nil {
		if err = link.Confirm(ctx, nil); err != nil {
			_ = link.Session.Close(muxer.CodeRequested, "")
			a.drain(link)
		}
	}
	if err != nil {
		_ = raw.Close()
		_ = id.quic.Close()
		return nil, nil, err
	}
	return id, link, nil
}

var (
	pexChannel  = muxer.Channel{ID: 0x00, Name: "/pex/1.0.0", MaxMessage: 1 << 20}
	echoChannel = muxer.Channel{ID: 0x7e, Name: "/echo/1.0.0", MaxMessage: 1 << 20}
)

// drain frees what a session that is closed holds.
func (a *attacker) drain(l *handshake.Link) { _ = l.Session.Run(context.Background(), &handler{}) }

// handler takes messages, and serves no stream.
type handler struct{ deliver func(muxer.Message) error }

func (h *handler) Established() {}
func (h *handler) Deliver(_ context.Context, msgs []muxer.Message) error {
	for _, m := range msgs {
		if h.deliver != nil {
			if err := h.deliver(m); err != nil {
				return err
			}
		}
	}
	return nil
}
func (h *handler) Serves(string) bool                        { return false }
func (h *handler) ServeStream(context.Context, muxer.Stream) {}

// within runs a link's session while fn runs, and for at most d, and returns what fn did.
func (a *attacker) within(ctx context.Context, id *identity, l *handshake.Link, d time.Duration,
	deliver func(muxer.Message) error, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		_ = l.Session.Run(ctx, &handler{deliver})
		cancel()
	})
	err := fn(ctx)
	_ = l.Session.Close(muxer.CodeRequested, "")
	cancel()
	running.Wait()
	_ = id.quic.Close()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
