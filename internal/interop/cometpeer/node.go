package cometpeer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	"github.com/cometbft/cometbft/p2p/pex"
	"github.com/cometbft/cometbft/version"
)

// EchoChannel is the channel of the echo service.
const EchoChannel = 0x7e

// Config describes a node. With Network alone it is an ordinary node.
type Config struct {
	Network     string
	Moniker     string
	Seed        bool     // PEX in seed mode
	Seeds       []string // id@host:port
	Channels    []byte   // channels beside PEX that count and echo; nil means the echo channel
	NoPEX       bool
	MaxInbound  int
	MaxOutbound int
	PayloadSize int    // bytes of a packet; 0 means the default
	IP          string // where to listen; "" means 127.0.0.1
	Key         *p2p.NodeKey
	Tune        func(*config.P2PConfig)
	Logger      log.Logger // nil discards, unless COMET_LOG is set
}

// Node is a running CometBFT switch with an address book, PEX and an echo reactor.
type Node struct {
	Switch *p2p.Switch
	Book   pex.AddrBook
	Echo   *EchoReactor
	Info   p2p.DefaultNodeInfo
	Key    p2p.NodeKey
	mt     *p2p.MultiplexTransport
	stop   sync.Once
}

// Start starts a node on a free loopback port. It stops with the test.
func Start(tb testing.TB, c Config) *Node {
	tb.Helper()
	n, err := New(c, tb.TempDir())
	if err != nil {
		tb.Fatalf("start a CometBFT node: %v", err)
	}
	tb.Cleanup(n.Stop)
	return n
}

// New is Start for callers that are not tests. They call Stop.
func New(c Config, dir string) (n *Node, err error) {
	for range 5 { // another process may take the free port before the switch does
		if n, err = start(c, dir); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return n, err
}

func start(c Config, dir string) (*Node, error) {
	key := p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
	if c.Key != nil {
		key = *c.Key
	}
	if c.IP == "" {
		c.IP = "127.0.0.1"
	}
	port, err := FreePort(c.IP)
	if err != nil {
		return nil, err
	}
	if c.Moniker == "" {
		c.Moniker = "comet-" + string(key.ID()[:6])
	}
	if c.Channels == nil {
		c.Channels = []byte{EchoChannel}
	}
	pc := config.DefaultP2PConfig()
	pc.AddrBookStrict, pc.AllowDuplicateIP = false, true
	pc.SendRate, pc.RecvRate = 1<<40, 1<<40
	pc.ListenAddress = fmt.Sprintf("tcp://%s:%d", c.IP, port)
	if c.MaxInbound != 0 {
		pc.MaxNumInboundPeers = c.MaxInbound
	}
	if c.MaxOutbound != 0 {
		pc.MaxNumOutboundPeers = c.MaxOutbound
	}
	if c.PayloadSize != 0 {
		pc.MaxPacketMsgPayloadSize = c.PayloadSize
	}
	if c.Tune != nil {
		c.Tune(pc)
	}
	info := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 0),
		DefaultNodeID:   key.ID(), ListenAddr: fmt.Sprintf("%s:%d", c.IP, port), Network: c.Network,
		Version: version.TMCoreSemVer,
		Moniker: c.Moniker, Channels: append([]byte{}, c.Channels...),
		Other: p2p.DefaultNodeInfoOther{TxIndex: "off", RPCAddress: ""},
	}
	if !c.NoPEX {
		info.Channels = append(info.Channels, pex.PexChannel)
	}
	mt := p2p.NewMultiplexTransport(info, key, p2p.MConnConfig(pc))
	p2p.MultiplexTransportMaxIncomingConnections(pc.MaxNumInboundPeers + 16)(mt)
	logger := log.NewNopLogger()
	if os.Getenv("COMET_LOG") != "" {
		logger = log.NewTMLogger(log.NewSyncWriter(os.Stderr)).With("node", c.Moniker)
	}
	if c.Logger != nil {
		logger = c.Logger.With("node", c.Moniker)
	}
	sw := p2p.NewSwitch(pc, mt)
	sw.SetLogger(logger)
	sw.SetNodeKey(&key)
	sw.SetNodeInfo(info)
	n := &Node{Switch: sw, Info: info, Key: key, mt: mt}
	n.Echo = NewEchoReactor(c.Channels)
	n.Echo.SetLogger(logger)
	sw.AddReactor("ECHO", n.Echo)
	n.Book = pex.NewAddrBook(filepath.Join(dir, "addrbook.json"), false)
	n.Book.SetLogger(logger)
	self, err := p2p.NewNetAddressString(n.Address())
	if err != nil {
		return nil, err
	}
	n.Book.AddOurAddress(self)
	sw.SetAddrBook(n.Book)
	if !c.NoPEX {
		r := pex.NewReactor(n.Book,
			&pex.ReactorConfig{Seeds: c.Seeds, SeedMode: c.Seed, SeedDisconnectWaitPeriod: time.Minute})
		r.SetLogger(logger)
		sw.AddReactor("PEX", r)
	}
	if err := mt.Listen(*self); err != nil {
		return nil, err
	}
	return n, sw.Start()
}

// Stop ends the node. It may be called twice.
func (n *Node) Stop() {
	n.stop.Do(func() {
		_ = n.Switch.Stop()
		_ = n.mt.Close() // a second call panics
		if b, ok := n.Book.(interface{ Wait() }); ok {
			b.Wait() // it writes its file a last time
		}
	})
}

// Address returns the node's id@host:port.
func (n *Node) Address() string { return p2p.IDAddressString(n.Key.ID(), n.Info.ListenAddr) }

// ID returns the node id in hex.
func (n *Node) ID() string { return string(n.Key.ID()) }

// Peer returns the switch's peer with that id, or nil.
func (n *Node) Peer(id string) p2p.Peer { return n.Switch.Peers().Get(p2p.ID(id)) }

// FreePort returns a free TCP port of an IP.
func FreePort(ip string) (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// EchoReactor returns every message, unless Swap gives the messages to another function.
type EchoReactor struct {
	p2p.BaseReactor
	channels []byte
	handle   atomic.Pointer[func(p2p.Envelope)]
	watch    atomic.Pointer[func(string, bool)]
}

// NewEchoReactor returns a reactor that echoes on the given channels.
func NewEchoReactor(channels []byte) *EchoReactor {
	r := &EchoReactor{channels: channels}
	r.BaseReactor = *p2p.NewBaseReactor("ECHO", r)
	r.Swap(func(e p2p.Envelope) { e.Src.Send(p2p.Envelope{ChannelID: e.ChannelID, Message: e.Message}) })
	return r
}

// GetChannels implements p2p.Reactor.
func (r *EchoReactor) GetChannels() []*conn.ChannelDescriptor {
	var out []*conn.ChannelDescriptor
	for _, id := range r.channels {
		out = append(out, &conn.ChannelDescriptor{ID: id, Priority: 1, SendQueueCapacity: 1000,
			RecvMessageCapacity: 22020096, MessageType: &Raw{}})
	}
	return out
}

// Receive implements p2p.Reactor.
func (r *EchoReactor) Receive(e p2p.Envelope) { (*r.handle.Load())(e) }

// AddPeer implements p2p.Reactor.
func (r *EchoReactor) AddPeer(p p2p.Peer) { r.tell(p, true) }

// RemovePeer implements p2p.Reactor.
func (r *EchoReactor) RemovePeer(p p2p.Peer, _ any) { r.tell(p, false) }

func (r *EchoReactor) tell(p p2p.Peer, up bool) {
	if fn := r.watch.Load(); fn != nil {
		(*fn)(string(p.ID()), up)
	}
}

// Watch calls fn for every peer that is added or removed from now on.
func (r *EchoReactor) Watch(fn func(id string, up bool)) { r.watch.Store(&fn) }

// Swap passes messages to fn from now on, and returns the previous function; the first one echoes.
func (r *EchoReactor) Swap(fn func(p2p.Envelope)) (old func(p2p.Envelope)) {
	if p := r.handle.Swap(&fn); p != nil {
		old = *p
	}
	return old
}
