package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
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
			c.Listen = []ma.Multiaddr{ma.StringCast("/ip4/" + freshIP() + "/tcp/0")}
			c.Peers.MaxInbound, c.Peers.MaxOutbound = 1000, -1 // no dials of its own
			c.Handshake.Limits = handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20, AttemptsPerIP: 1 << 30}
		},
	})
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
	a, b   *node.Node
	ca, cb *host.Channel
}

func newOurPair(channels []byte) (pair, error) {
	a, err := startOurs(channels)
	if err != nil {
		return nil, err
	}
	b, err := startOurs(channels)
	if err != nil {
		return nil, err
	}
	p := &ourPair{a: a, b: b, ca: a.Channels[0], cb: b.Channels[0]}
	if err := link(a, b); err != nil {
		return nil, err
	}
	return p, nil
}

func link(a, b *node.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := a.Host.Dial(ctx, b.Address()); err != nil {
		return err
	}
	for {
		if _, ok := b.Host.Peer(a.Host.Self()); ok {
			return nil
		}
		if ctx.Err() != nil {
			return errors.New("the listening end did not become ready")
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *ourPair) stream(msg []byte, n int) {
	ctx := context.Background()
	var done sync.WaitGroup
	done.Go(func() {
		for range n {
			e, err := p.cb.Receive(ctx)
			if err != nil {
				fatal(err)
			}
			e.Release()
		}
	})
	to := p.b.Host.Self()
	for range n {
		if err := p.ca.Send(ctx, to, msg); err != nil {
			fatal(err)
		}
	}
	done.Wait()
}

func (p *ourPair) roundTrip(msg []byte) { roundTrip(p, msg) }

var echoing sync.Map // pair -> struct{}: its b answers

func roundTrip(p *ourPair, msg []byte) {
	ctx := context.Background()
	if _, on := echoing.LoadOrStore(p, struct{}{}); !on {
		go func() {
			for {
				e, err := p.cb.Receive(ctx)
				if err != nil {
					return
				}
				if p.cb.Send(ctx, e.From, e.Message) != nil {
					return
				}
			}
		}()
	}
	if err := p.ca.Send(ctx, p.b.Host.Self(), msg); err != nil {
		fatal(err)
	}
	if _, err := p.ca.Receive(ctx); err != nil {
		fatal(err)
	}
}

func (p *ourPair) close() {
	p.a.Stop()
	p.b.Stop()
}

// ourStar is a hub and nodes that dial it.
type ourStar struct {
	hub     *node.Node
	dialers []*node.Node

	atHub    *watch
	atDialer []*watch
	ctx      context.Context
	cancel   context.CancelFunc
	watching sync.WaitGroup
}

func newOurSetups(n int) (setups, error) { return newOurStar(n, nil) }

func newOurIdle(n int, channels []byte) (idle, error) { return newOurStar(n, channels) }

func newOurStar(n int, channels []byte) (*ourStar, error) {
	hub, err := startOurs(channels)
	if err != nil {
		return nil, err
	}
	s := &ourStar{hub: hub, atHub: newWatch()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.follow(hub, s.atHub)
	for range n {
		d, err := startOurs(channels)
		if err != nil {
			return nil, err
		}
		w := newWatch()
		w.expect(string(hub.Host.Self()))
		s.atHub.expect(string(d.Host.Self()))
		s.follow(d, w)
		s.dialers, s.atDialer = append(s.dialers, d), append(s.atDialer, w)
	}
	return s, nil
}

func (s *ourStar) setup(i int) error {
	d := s.dialers[i]
	if _, err := d.Host.Dial(s.ctx, s.hub.Address()); err != nil {
		return err
	}
	self, hub := string(d.Host.Self()), s.hub.Host.Self()
	s.atDialer[i].await(string(hub), true)
	s.atHub.await(self, true)
	d.Host.Disconnect(hub, muxer.CodeRequested, "")
	s.atDialer[i].await(string(hub), false)
	s.atHub.await(self, false)
	return nil
}

// follow tells w of the peers of a node that come and go.
func (s *ourStar) follow(n *node.Node, w *watch) {
	sub := n.Host.Subscribe(s.ctx)
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

func (s *ourStar) link() error {
	for _, d := range s.dialers {
		if err := link(d, s.hub); err != nil {
			return err
		}
	}
	return nil
}

func (s *ourStar) close() {
	s.cancel()
	s.watching.Wait()
	s.hub.Stop()
	for _, d := range s.dialers {
		d.Stop()
	}
}

// ourUpgrades measures set-ups as CometBFT's bare transport does them: transport, security, node info and a session on both ends, without hosts.
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
}

func newOurUpgrades(n int) (setups, error) {
	u := &ourUpgrades{arrived: map[transport.NodeID]chan *handshake.Link{}, t: node.TCP()}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	var err error
	if u.ln, err = u.t.Listen(u.ctx, ma.StringCast("/ip4/"+freshIP()+"/tcp/0")); err != nil {
		return nil, err
	}
	limits := handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20, AttemptsPerIP: 1 << 30}
	var self transport.NodeID
	if u.listen, self, err = node.Upgrader(network, limits); err != nil {
		return nil, err
	}
	if u.addr, err = transport.ParseAddress(u.ln.Addr().String() + "/mconn/" + string(self)); err != nil {
		return nil, err
	}
	for range n {
		d, id, err := node.Upgrader(network, limits)
		if err != nil {
			return nil, err
		}
		u.dial, u.ids = append(u.dial, d), append(u.ids, id)
		u.arrived[id] = make(chan *handshake.Link, 1)
	}
	u.accepted.Go(func() {
		for {
			raw, err := u.ln.Accept(u.ctx)
			if err != nil {
				return
			}
			slot, err := u.listen.Reserve(raw)
			if err != nil {
				fatal(err)
			}
			u.accepted.Go(func() {
				l, err := u.listen.Inbound(u.ctx, raw, slot)
				if err == nil {
					u.arrived[l.ID()] <- l
				}
			})
		}
	})
	return u, nil
}

func (u *ourUpgrades) setup(i int) error {
	began := time.Now()
	raw, err := u.t.Dial(u.ctx, u.addr.Multiaddr())
	if err != nil {
		return err
	}
	l, err := u.dial[i].Outbound(u.ctx, raw, u.addr, time.Since(began))
	if err != nil {
		return err
	}
	r := <-u.arrived[u.ids[i]]
	_ = l.Session.Close(muxer.CodeRequested, "")
	_ = r.Session.Close(muxer.CodeRequested, "")
	return nil
}

func (u *ourUpgrades) close() {
	u.cancel()
	_ = u.ln.Close()
	u.accepted.Wait()
}

var fullNode = []byte{0x20, 0x21, 0x22, 0x23, 0x30, 0x38, 0x40, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x7e}

func measurements() []measurement {
	mb := func(size int) func(float64) float64 {
		return func(perSecond float64) float64 { return perSecond * float64(size) / 1e6 }
	}
	rate := func(perSecond float64) float64 { return perSecond }
	return []measurement{
		{name: "set-ups, transport and handshake", unit: "/s", goal: ">= 2, bytes <= 0.1", ours: measureSetups(newOurUpgrades), theirs: measureSetups(newCometTransport)},
		{name: "set-ups, whole nodes", unit: "/s", goal: ">= 2, bytes <= 0.1", ours: measureSetups(newOurSetups), theirs: measureSetups(newCometSwitch)},
		{name: "64 KiB messages, one channel", unit: "MB/s", goal: ">= 1.8", ours: measureStream(newOurPair, 64<<10, mb(64<<10)), theirs: measureStream(newCometPair, 64<<10, mb(64<<10))},
		{name: "1 KiB messages", unit: "/s", goal: ">= 3, allocs <= 1", ours: measureStream(newOurPair, 1<<10, rate), theirs: measureStream(newCometPair, 1<<10, rate)},
		{name: "100 B messages", unit: "/s", goal: ">= 2.5, allocs <= 1", ours: measureStream(newOurPair, 100, rate), theirs: measureStream(newCometPair, 100, rate)},
		{name: "round trip 100 B, p50", unit: "us", goal: "<= 25 us", lower: true, ours: measureRoundTrip(newOurPair, 0.5, 1000), theirs: measureRoundTrip(newCometPair, 0.5, 1)},
		{name: "round trip 100 B, p99", unit: "us", lower: true, ours: measureRoundTrip(newOurPair, 0.99, 1000), theirs: measureRoundTrip(newCometPair, 0.99, 1)},
		{name: "idle end, 1 channel", unit: "B", goal: "<= 24 kB", lower: true, ours: measureIdle(newOurIdle, nil, false), theirs: measureIdle(newCometIdle, nil, false)},
		{name: "idle end, 14 channels", unit: "B", goal: "<= 24 kB", lower: true, ours: measureIdle(newOurIdle, slices.Clone(fullNode), false), theirs: measureIdle(newCometIdle, slices.Clone(fullNode), false)},
		{name: "idle end, goroutines", unit: "", goal: "<= 2", lower: true, ours: measureIdle(newOurIdle, nil, true), theirs: measureIdle(newCometIdle, nil, true)},
	}
}
