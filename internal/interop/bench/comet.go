package main

import (
	"net"
	"os"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/version"

	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
)

// cometPair is two real switches with one link between them.
type cometPair struct {
	a, b *cometpeer.Node
	to   p2p.Peer // b, as a sees it
	back p2p.Peer // a, as b sees it
	dirs []string
	got  chan []byte // what a receives, in round trips
}

func newCometPair(channels []byte) (pair, error) {
	c := &cometPair{got: make(chan []byte, 1)}
	start := func() (*cometpeer.Node, error) {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return nil, err
		}
		c.dirs = append(c.dirs, dir)
		return cometpeer.New(cometpeer.Config{Network: network, NoPEX: true, Channels: channels, IP: freshIP()}, dir)
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

func (c *cometPair) stream(msg []byte, n int) {
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
}

func (c *cometPair) roundTrip(msg []byte) {
	c.to.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: &cometpeer.Raw{Bytes: msg}})
	<-c.got
}

func (c *cometPair) close() {
	c.a.Stop()
	c.b.Stop()
	for _, d := range c.dirs {
		_ = os.RemoveAll(d)
	}
}

// cometTransport measures CometBFT's own set-up: TCP, SecretConnection and node info on both ends of its MultiplexTransport, without a switch.
type cometTransport struct {
	listener *p2p.MultiplexTransport
	addr     p2p.NetAddress
	dialers  []*p2p.MultiplexTransport
	ids      []p2p.ID
	arrived  map[p2p.ID]chan p2p.Peer
	loop     sync.WaitGroup
}

func newCometTransport(n int) (setups, error) {
	t := &cometTransport{arrived: map[p2p.ID]chan p2p.Peer{}}
	ip := freshIP()
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

// call calls a method of the transport whose last parameter is of an unexported type, with that type's zero value.
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

func (t *cometTransport) setup(i int) error {
	p, err := t.call(t.dialers[i], "Dial", t.addr)
	if err != nil {
		return err
	}
	q := <-t.arrived[t.ids[i]]
	t.dialers[i].Cleanup(p)
	t.listener.Cleanup(q)
	return nil
}

func (t *cometTransport) close() {
	_ = t.listener.Close()
	t.loop.Wait()
}

func cometInfo(key p2p.NodeKey) p2p.DefaultNodeInfo {
	return p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 0), DefaultNodeID: key.ID(),
		ListenAddr: "127.0.0.1:26656", Network: network, Version: version.TMCoreSemVer, Moniker: "bench", Channels: []byte{cometpeer.EchoChannel},
		Other: p2p.DefaultNodeInfoOther{TxIndex: "off"},
	}
}

// cometSwitch measures set-ups through whole switches: until both have added the peer.
type cometSwitch struct {
	hub     *cometpeer.Node
	addr    *p2p.NetAddress
	dialers []*cometpeer.Node
	dir     string

	atHub    *watch
	atDialer []*watch
}

func newCometSwitch(n int) (setups, error) { return newCometStar(n, nil) }

func newCometIdle(n int, channels []byte) (idle, error) { return newCometStar(n, channels) }

func newCometStar(n int, channels []byte) (*cometSwitch, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	t := &cometSwitch{dir: dir}
	cfg := cometpeer.Config{Network: network, NoPEX: true, MaxInbound: 1000, Channels: channels, IP: freshIP()}
	if t.hub, err = cometpeer.New(cfg, dir); err != nil {
		return nil, err
	}
	if t.addr, err = p2p.NewNetAddressString(t.hub.Address()); err != nil {
		return nil, err
	}
	t.atHub = newWatch()
	t.hub.Echo.Watch(t.atHub.tell)
	for range n {
		d, err := cometpeer.New(cfg, dir)
		if err != nil {
			return nil, err
		}
		w := newWatch()
		w.expect(t.hub.ID())
		t.atHub.expect(d.ID())
		d.Echo.Watch(w.tell)
		t.dialers, t.atDialer = append(t.dialers, d), append(t.atDialer, w)
	}
	return t, nil
}

func (t *cometSwitch) setup(i int) error {
	d := t.dialers[i]
	for {
		for d.Switch.DialPeerWithAddress(t.addr) != nil { // a quick redial may be refused for a moment
			runtime.Gosched()
		}
		if t.atHub.within(time.Second, d.ID(), true) {
			break
		}
		// The hub took it for a duplicate of the link before, which it had not quite forgotten, and closed it without a word.
		t.atDialer[i].forget(t.hub.ID())
		if peer := d.Peer(t.hub.ID()); peer != nil {
			d.Switch.StopPeerGracefully(peer)
			t.atDialer[i].await(t.hub.ID(), false)
		}
	}
	t.atDialer[i].await(t.hub.ID(), true)
	d.Switch.StopPeerGracefully(d.Peer(t.hub.ID()))
	t.atDialer[i].await(t.hub.ID(), false)
	t.atHub.await(d.ID(), false)
	return nil
}

func (t *cometSwitch) link() error {
	for _, d := range t.dialers {
		if err := d.Switch.DialPeerWithAddress(t.addr); err != nil {
			return err
		}
		for t.hub.Peer(d.ID()) == nil || d.Peer(t.hub.ID()) == nil {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

func (t *cometSwitch) close() {
	t.hub.Stop()
	for _, d := range t.dialers {
		d.Stop()
	}
	_ = os.RemoveAll(t.dir)
}
