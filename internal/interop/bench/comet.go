package main

import (
	"errors"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/version"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
)

// patience is how long a peer may take to add or to drop another.
const patience = 10 * time.Second

// cometPair is two real switches with a link between them.
type cometPair struct {
	a, b *cometpeer.Node
	to   p2p.Peer // b, as a sees it
	back p2p.Peer // a, as b sees it
	dirs []string
	got  chan []byte // what a receives in round trips
}

func newCometPair() (benchkit.Pair, error) {
	c := &cometPair{got: make(chan []byte, 1)}
	start := func() (*cometpeer.Node, error) {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return nil, err
		}
		c.dirs = append(c.dirs, dir)
		return cometpeer.New(cometpeer.Config{Network: network, NoPEX: true, IP: benchkit.FreshIP()}, dir)
	}
	var err error
	if c.a, err = start(); err != nil {
		return nil, err
	}
	if c.b, err = start(); err != nil {
		return nil, err
	}
	addr, err := p2p.NewNetAddressString(c.b.Address())
	if err != nil {
		return nil, err
	}
	if err := c.a.Switch.DialPeerWithAddress(addr); err != nil {
		return nil, err
	}
	for c.back == nil {
		c.back = c.b.Peer(c.a.ID())
		time.Sleep(time.Millisecond)
	}
	c.to = c.a.Peer(c.b.ID())
	c.a.Echo.Swap(func(e p2p.Envelope) { c.got <- e.Message.(*cometpeer.Raw).Bytes })
	return c, nil
}

func (c *cometPair) Stream(msg []byte, n int) error {
	var done sync.WaitGroup
	done.Add(1)
	got := 0
	c.b.Echo.Swap(func(p2p.Envelope) {
		if got++; got == n {
			done.Done()
		}
	})
	m := &cometpeer.Raw{Bytes: msg}
	for range n {
		for !c.to.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: m}) {
		}
	}
	done.Wait()
	return nil
}

func (c *cometPair) RoundTrip(msg []byte) error {
	c.to.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: &cometpeer.Raw{Bytes: msg}})
	<-c.got
	return nil
}

func (c *cometPair) Close() {
	c.a.Stop()
	c.b.Stop()
	for _, d := range c.dirs {
		_ = os.RemoveAll(d)
	}
}

// cometTransport measures CometBFT's bare set-up: TCP, SecretConnection and node info on both ends of its
// MultiplexTransport, without a switch.
type cometTransport struct {
	listener *p2p.MultiplexTransport
	addr     p2p.NetAddress
	dialers  []*p2p.MultiplexTransport
	ids      []p2p.ID
	arrived  map[p2p.ID]chan p2p.Peer
	loop     sync.WaitGroup
	peers    [][2]p2p.Peer // by dialer: both ends of its link
}

func newCometTransport(n int) (benchkit.Star, error) {
	t := &cometTransport{peers: make([][2]p2p.Peer, n), arrived: map[p2p.ID]chan p2p.Peer{}}
	ip := benchkit.FreshIP()
	port, err := cometpeer.FreePort(ip)
	if err != nil {
		return nil, err
	}
	key := p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
	t.addr = *p2p.NewNetAddressIPPort(net.ParseIP(ip), uint16(port))
	t.addr.ID = key.ID()
	mc := p2p.MConnConfig(config.DefaultP2PConfig())
	t.listener = p2p.NewMultiplexTransport(cometInfo(key), key, mc)
	for range n {
		k := p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
		t.dialers = append(t.dialers, p2p.NewMultiplexTransport(cometInfo(k), k, mc))
		t.ids = append(t.ids, k.ID())
		t.arrived[k.ID()] = make(chan p2p.Peer, 1)
	}
	if err := t.listener.Listen(t.addr); err != nil {
		return nil, err
	}
	t.loop.Go(func() {
		for {
			p, err := t.call(t.listener, "Accept")
			if err != nil {
				return
			}
			t.arrived[p.ID()] <- p
		}
	})
	return t, nil
}

// call calls a method of the transport whose last parameter has an unexported type, with that type's zero value.
func (t *cometTransport) call(mt *p2p.MultiplexTransport, method string, args ...any) (p2p.Peer, error) {
	f := reflect.ValueOf(mt).MethodByName(method)
	var in []reflect.Value
	for _, a := range args {
		in = append(in, reflect.ValueOf(a))
	}
	in = append(in, reflect.Zero(f.Type().In(len(in))))
	out := f.Call(in)
	if err, _ := out[1].Interface().(error); err != nil {
		return nil, err
	}
	return out[0].Interface().(p2p.Peer), nil
}

func (t *cometTransport) Setup(i int) error {
	p, err := t.call(t.dialers[i], "Dial", t.addr)
	if err != nil {
		return err
	}
	t.peers[i] = [2]p2p.Peer{p, <-t.arrived[t.ids[i]]}
	return nil
}

func (t *cometTransport) Hangup(i int) error {
	t.dialers[i].Cleanup(t.peers[i][0])
	t.listener.Cleanup(t.peers[i][1])
	return nil
}

func (t *cometTransport) Close() {
	_ = t.listener.Close()
	t.loop.Wait()
}

func cometInfo(key p2p.NodeKey) p2p.DefaultNodeInfo {
	return p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 0), DefaultNodeID: key.ID(),
		ListenAddr: "127.0.0.1:26656", Network: network, Version: version.TMCoreSemVer, Moniker: "bench",
		Channels: []byte{cometpeer.EchoChannel},
		Other:    p2p.DefaultNodeInfoOther{TxIndex: "off"},
	}
}

// cometStar is a hub and nodes that dial it, all of them whole switches. A link is ready when both have added the peer.
type cometStar struct {
	hub     *cometpeer.Node
	addr    *p2p.NetAddress
	dialers []*cometpeer.Node
	dir     string

	atHub    *benchkit.Watch
	atDialer []*benchkit.Watch
}

// newCometStar returns a function that makes hubs whose nodes have the given channels.
func newCometStar(channels []byte) func(n int) (benchkit.Star, error) {
	return func(n int) (benchkit.Star, error) {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return nil, err
		}
		t := &cometStar{dir: dir, atHub: benchkit.NewWatch()}
		cfg := cometpeer.Config{Network: network, NoPEX: true, MaxInbound: 1000, Channels: slices.Clone(channels),
			IP: benchkit.FreshIP()}
		if t.hub, err = cometpeer.New(cfg, dir); err != nil {
			return nil, err
		}
		if t.addr, err = p2p.NewNetAddressString(t.hub.Address()); err != nil {
			return nil, err
		}
		t.hub.Echo.Watch(t.atHub.Tell)
		for range n {
			d, err := cometpeer.New(cfg, dir)
			if err != nil {
				return nil, err
			}
			w := benchkit.NewWatch()
			w.Expect(t.hub.ID())
			t.atHub.Expect(d.ID())
			d.Echo.Watch(w.Tell)
			t.dialers, t.atDialer = append(t.dialers, d), append(t.atDialer, w)
		}
		return t, nil
	}
}

func (t *cometStar) Setup(i int) error {
	d := t.dialers[i]
	for {
		for d.Switch.DialPeerWithAddress(t.addr) != nil { // a quick redial may be refused for a moment
			runtime.Gosched()
		}
		if t.atHub.Within(time.Second, d.ID(), true) {
			break
		}
		// The hub took it for a duplicate of the previous link, which it had not yet forgotten, and closed it silently.
		t.atDialer[i].Forget(t.hub.ID())
		if peer := d.Peer(t.hub.ID()); peer != nil {
			d.Switch.StopPeerGracefully(peer)
			t.atDialer[i].Within(patience, t.hub.ID(), false)
		}
	}
	if !t.atDialer[i].Within(patience, t.hub.ID(), true) {
		return errors.New("the dialer did not add its peer")
	}
	return nil
}

func (t *cometStar) Hangup(i int) error {
	d := t.dialers[i]
	d.Switch.StopPeerGracefully(d.Peer(t.hub.ID()))
	if !t.atDialer[i].Within(patience, t.hub.ID(), false) || !t.atHub.Within(patience, d.ID(), false) {
		return errors.New("not both ends have let go of the peer")
	}
	return nil
}

func (t *cometStar) Close() {
	t.hub.Stop()
	for _, d := range t.dialers {
		d.Stop()
	}
	_ = os.RemoveAll(t.dir)
}
