package main

import (
	"context"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func startOurs(channels []byte) (*node.Node, error) {
	if channels == nil {
		channels = []byte{0x7e}
	}
	var descs []muxer.Channel
	for _, id := range channels {
		descs = append(descs, muxer.Channel{ID: id})
	}
	return node.New(node.Config{
		Network: network, Channels: descs,
		Tune: func(c *host.Config) {
			c.Listen = []ma.Multiaddr{ma.StringCast("/ip4/" + benchkit.FreshIP() + "/tcp/0")}
			c.Peers.MaxInbound, c.Peers.MaxOutbound = 1000, -1 // no dials of its own
			c.Handshake.Limits = handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20, AttemptsPerIP: 1 << 30}
		},
	})
}

func newOurPair() (benchkit.Pair, error) {
	a, err := startOurs(nil)
	if err != nil {
		return nil, err
	}
	b, err := startOurs(nil)
	if err != nil {
		return nil, err
	}
	p := &hosttest.Pair{A: a.Host, B: b.Host, FromA: a.Channels[0], AtB: b.Channels[0], End: func() {
		a.Stop()
		b.Stop()
	}}
	return p, p.Link(b.Address())
}

// newOurStar returns a function that makes hubs whose nodes have the given channels.
func newOurStar(channels []byte) func(n int) (benchkit.Star, error) {
	return func(n int) (benchkit.Star, error) {
		hub, err := startOurs(channels)
		if err != nil {
			return nil, err
		}
		nodes := []*node.Node{hub}
		var dialers []*host.Host
		for range n {
			d, err := startOurs(channels)
			if err != nil {
				return nil, err
			}
			nodes, dialers = append(nodes, d), append(dialers, d.Host)
		}
		return hosttest.NewStar(hub.Host, hub.Address(), dialers, func() {
			for _, n := range nodes {
				n.Stop()
			}
		}), nil
	}
}

// ourUpgrades measures the counterpart of CometBFT's bare transport: transport, security, node info and a session on
// both ends, without hosts.
type ourUpgrades struct {
	dial     []*handshake.Upgrader
	ids      []transport.NodeID
	listen   *handshake.Upgrader
	t        transport.Transport
	ln       transport.Listener
	addr     transport.Address
	arrived  map[transport.NodeID]chan *handshake.Link
	ctx      context.Context
	cancel   context.CancelFunc
	accepted sync.WaitGroup
	links    [][2]*handshake.Link // by dialer: both ends of its link
}

// newOurUpgrades returns a function that makes them. Each node signs with what sign makes of its key; nil leaves it.
func newOurUpgrades(sign func(*handshake.NodeKey) (handshake.Identity, error)) func(n int) (benchkit.Star, error) {
	if sign == nil {
		sign = func(key *handshake.NodeKey) (handshake.Identity, error) { return key, nil }
	}
	return func(n int) (benchkit.Star, error) { return startUpgrades(n, sign) }
}

func startUpgrades(n int, sign func(*handshake.NodeKey) (handshake.Identity, error)) (benchkit.Star, error) {
	upgrader := func(limits handshake.Limits) (*handshake.Upgrader, transport.NodeID, error) {
		key, err := handshake.GenerateNodeKey()
		if err != nil {
			return nil, "", err
		}
		id, err := sign(key)
		if err != nil {
			return nil, "", err
		}
		u, err := node.Upgrader(network, id, key.ID(), limits)
		return u, key.ID(), err
	}
	u := &ourUpgrades{t: node.TCP(),
		links: make([][2]*handshake.Link, n), arrived: map[transport.NodeID]chan *handshake.Link{}}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	var err error
	limits := handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20, AttemptsPerIP: 1 << 30}
	var self transport.NodeID
	if u.listen, self, err = upgrader(limits); err != nil {
		return nil, err
	}
	at := ma.StringCast("/ip4/" + benchkit.FreshIP() + "/tcp/0")
	if u.ln, err = u.t.Listen(u.ctx, at, u.listen.Admit); err != nil {
		return nil, err
	}
	if u.addr, err = transport.ParseAddress(u.ln.Addr().String() + "/mconn/" + string(self)); err != nil {
		return nil, err
	}
	for range n {
		d, id, err := upgrader(limits)
		if err != nil {
			return nil, err
		}
		u.dial, u.ids = append(u.dial, d), append(u.ids, id)
		u.arrived[id] = make(chan *handshake.Link, 1)
	}
	u.accepted.Go(func() {
		for {
			raw, ticket, err := u.ln.Accept(u.ctx)
			if err != nil {
				return
			}
			u.accepted.Go(func() {
				l, err := u.listen.Inbound(u.ctx, raw, ticket)
				if err == nil {
					u.arrived[l.ID()] <- l
				}
			})
		}
	})
	return u, nil
}

func (u *ourUpgrades) Setup(i int) error {
	began := time.Now()
	raw, err := u.t.Dial(u.ctx, u.addr.Multiaddr())
	if err != nil {
		return err
	}
	l, err := u.dial[i].Outbound(u.ctx, raw, u.addr, time.Since(began))
	if err != nil {
		return err
	}
	u.links[i] = [2]*handshake.Link{l, <-u.arrived[u.ids[i]]}
	return nil
}

func (u *ourUpgrades) Hangup(i int) error {
	for _, l := range u.links[i] {
		_ = l.Session.Close(muxer.CodeRequested, "")
	}
	return nil
}

func (u *ourUpgrades) Close() {
	u.cancel()
	_ = u.ln.Close()
	u.accepted.Wait()
}
