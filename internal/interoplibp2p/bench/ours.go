package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	wire "github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
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
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// newOurs starts a host with one transport and one security. Its limits are none that the measurements would meet.
func newOurs(via string, listen bool) (*node, error) {
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		return nil, err
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	secure := tls.New()
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
		if carrier, err = quic.New(quic.Config{}, quic.Env{Identity: key, TLS: secure, RemoteKey: tls.RemoteKey}); err != nil {
			return nil, err
		}
	}
	cfg := host.Config{
		Network: network, Moniker: "bench", Version: "bench", Identity: key, Store: memory.New(peerstore.Limits{}),
		Transports: []transport.Transport{carrier}, Wires: []handshake.Wire{w},
		Peers:     host.PeerConfig{MaxInbound: 1000, MaxOutbound: -1}, // no dials of its own
		Handshake: host.HandshakeConfig{Limits: handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20, AttemptsPerIP: 1 << 30}},
	}
	if listen {
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/" + freshIP() + port)}
	}
	n := &node{key: key}
	if n.Host, err = host.New(context.Background(), cfg); err != nil {
		return nil, err
	}
	if n.channel, err = n.OpenChannel(muxer.Channel{ID: benchChannel}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.done.Go(func() { _ = n.Run(ctx) })
	<-n.Listening()
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

var ips atomic.Uint32

// freshIP is a loopback address of its own for each listener, so that the closed connections of one measurement (each keeps its port for a minute) do not
// get in the way of the next.
func freshIP() string {
	n := ips.Add(1) + uint32(os.Getpid())<<8
	return fmt.Sprintf("127.%d.%d.%d", 1+n>>16&0x7f, n>>8&0xff, 1+n%250)
}

// ourPair is two hosts with one link between them.
type ourPair struct {
	a, b *node
	echo sync.WaitGroup
	on   bool
}

func newOurPair(via string) func() (pair, error) {
	return func() (pair, error) {
		p := &ourPair{}
		var err error
		if p.a, err = newOurs(via, false); err != nil {
			return nil, err
		}
		if p.b, err = newOurs(via, true); err != nil {
			return nil, err
		}
		return p, link(p.a, p.b)
	}
}

func link(a, b *node) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	addr, err := b.address()
	if err != nil {
		return err
	}
	if _, err := a.Dial(ctx, addr); err != nil {
		return err
	}
	for {
		if _, ok := b.Peer(a.Self()); ok {
			return nil
		}
		if ctx.Err() != nil {
			return errors.New("the listening end did not become ready")
		}
		time.Sleep(time.Millisecond)
	}
}

// stream sends from service to service.
func (p *ourPair) stream(msg []byte, n int) error {
	ctx := context.Background()
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for range n {
			e, err := p.b.channel.Receive(ctx)
			if err != nil {
				failed = err
				return
			}
			e.Release()
		}
	})
	to := p.b.Self()
	for range n {
		if err := p.a.channel.Send(ctx, to, msg); err != nil {
			return err
		}
	}
	wg.Wait()
	return failed
}

func (p *ourPair) roundTrip(msg []byte) error {
	ctx := context.Background()
	if !p.on {
		p.on = true
		p.echo.Go(func() {
			for {
				e, err := p.b.channel.Receive(ctx)
				if err != nil || p.b.channel.Send(ctx, e.From, e.Message) != nil {
					return
				}
			}
		})
	}
	if err := p.a.channel.Send(ctx, p.b.Self(), msg); err != nil {
		return err
	}
	_, err := p.a.channel.Receive(ctx)
	return err
}

func (p *ourPair) close() {
	p.a.close()
	p.b.close()
	p.echo.Wait()
}

// ourStar is a hub and nodes that dial it.
type ourStar struct {
	hub      *node
	address  transport.Address
	dialers  []*node
	atHub    *watch
	atDialer []*watch
	ctx      context.Context
	cancel   context.CancelFunc
	watching sync.WaitGroup
}

func newOurStar(via string) func(n int) (star, error) {
	return func(n int) (star, error) {
		hub, err := newOurs(via, true)
		if err != nil {
			return nil, err
		}
		s := &ourStar{hub: hub, atHub: newWatch()}
		if s.address, err = hub.address(); err != nil {
			return nil, err
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		for range n {
			d, err := newOurs(via, false)
			if err != nil {
				return nil, err
			}
			w := newWatch()
			w.expect(string(hub.Self()))
			s.atHub.expect(string(d.Self()))
			s.follow(d, w)
			s.dialers, s.atDialer = append(s.dialers, d), append(s.atDialer, w)
		}
		s.follow(hub, s.atHub)
		return s, nil
	}
}

// follow tells w of the peers of a node that come and go.
func (s *ourStar) follow(n *node, w *watch) {
	sub := n.Subscribe(s.ctx)
	s.watching.Go(func() {
		for {
			u, err := sub.Next(s.ctx)
			if err != nil {
				return
			}
			w.tell(string(u.ID), u.Status == host.PeerUp)
		}
	})
}

func (s *ourStar) setup(i int) error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	if _, err := s.dialers[i].Dial(ctx, s.address); err != nil {
		return err
	}
	return s.await(i, true)
}

func (s *ourStar) hangup(i int) error {
	s.dialers[i].Disconnect(s.hub.Self(), muxer.CodeRequested, "")
	return s.await(i, false)
}

func (s *ourStar) await(i int, up bool) error {
	if !s.atDialer[i].within(10*time.Second, string(s.hub.Self()), up) || !s.atHub.within(10*time.Second, string(s.dialers[i].Self()), up) {
		return fmt.Errorf("not both ends have told of a link that is up=%v", up)
	}
	return nil
}

func (s *ourStar) close() {
	s.cancel()
	s.watching.Wait()
	for _, d := range s.dialers {
		d.close()
	}
	s.hub.close()
}
