package cometbft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/abci/example/kvstore"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	rpctypes "github.com/cometbft/cometbft/rpc/jsonrpc/types"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
	"github.com/switchyard-p2p/switchyard/transport"
)

// netInfo returns what /net_info says of a peer.
func (n *testNode) netInfo(t *testing.T, of *testNode) *ctypes.Peer {
	t.Helper()
	info, err := n.client.NetInfo(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range info.Peers {
		if p.NodeInfo.ID() == of.key.ID() {
			return &p
		}
	}
	return nil
}

// TestNetInfo compares what /net_info says of ours and of stock nodes, from both sides.
func TestNetInfo(t *testing.T) {
	net := newNetwork(t, "sbb", func(_ int, n *testNode) { n.cfg.RPC.ListenAddress = "tcp://127.0.0.1:0" })
	net.start()
	net.reach(3)
	for _, n := range net.nodes {
		for _, of := range net.nodes {
			if n == of {
				continue
			}
			var p *ctypes.Peer
			eventually(t, n.cfg.Moniker+" has peer "+of.cfg.Moniker, func() bool {
				p = n.netInfo(t, of)
				return p != nil
			}, nil)
			i := p.NodeInfo
			if i.Network != testChain || i.Moniker != of.cfg.Moniker || i.Version != Version ||
				i.ProtocolVersion.Block != 11 || i.ProtocolVersion.App == 0 || i.Other.TxIndex != "on" ||
				i.Other.RPCAddress != "tcp://127.0.0.1:0" ||
				!strings.HasSuffix(i.ListenAddr, fmt.Sprint(":", of.port)) {
				t.Errorf("%s of %s: %+v", n.cfg.Moniker, of.cfg.Moniker, i)
			}
			want := []byte{0x20, 0x21, 0x22, 0x23, 0x30, 0x38, 0x40, 0x60, 0x61}
			for _, c := range want {
				if !i.HasChannel(c) {
					t.Errorf("%s of %s: channels %x lack %x", n.cfg.Moniker, of.cfg.Moniker, i.Channels, c)
				}
			}
			s := p.ConnectionStatus
			if p.RemoteIP != "127.0.0.1" || s.Duration <= 0 || s.SendMonitor.Bytes == 0 || s.RecvMonitor.Bytes == 0 ||
				len(s.Channels) < len(want) {
				t.Errorf("%s of %s: %s, %+v", n.cfg.Moniker, of.cfg.Moniker, p.RemoteIP, s)
			}
		}
	}
}

// TestDialPeers makes peers persistent, unconditional and private at run time, by RPC's dial_peers.
func TestDialPeers(t *testing.T) {
	net := newNetwork(t, "bb", nil)
	a, b := net.nodes[0], net.nodes[1]
	a.cfg.P2P.PersistentPeers, b.cfg.P2P.PersistentPeers = "", ""
	net.start()
	env, err := a.node.ConfigureRPC()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("%s@127.0.0.1:%d", b.key.ID(), b.port)
	if _, err := env.UnsafeDialPeers(&rpctypes.Context{}, []string{address}, true, true, true); err != nil {
		t.Fatal(err)
	}
	net.reach(2)
	m := a.below.host.Load().PeerManager()
	eventually(t, "the peer has its flags", func() bool {
		s, _ := m.Status(transport.NodeID(b.key.ID()))
		return s.Trusted && s.Unconditional && s.Private
	}, nil)
	if p := a.node.Switch().Peers().Get(b.key.ID()); !p.IsPersistent() {
		t.Error("the peer is not persistent for the Switch")
	}

	// The Switch stops the peer for an error, and has it back.
	p := a.node.Switch().Peers().Get(b.key.ID())
	a.node.Switch().StopPeerForError(p, errors.New("test"))
	at := a.height()
	eventually(t, "the peer is back", func() bool {
		q := a.node.Switch().Peers().Get(b.key.ID())
		return q != nil && q != p
	}, nil)
	net.reach(at + 2)
}

// TestRestart stops a validator and starts it again: it is back among its peers.
func TestRestart(t *testing.T) {
	net := newNetwork(t, "bbb", nil)
	net.start()
	net.reach(3)
	last := net.nodes[2]
	last.stop()
	at := net.nodes[0].height()
	eventually(t, "the others go on", func() bool { return net.nodes[0].height() >= at }, nil)
	last.start(t)
	net.reach(at + 3)
}

// TestWrongSettings has files that cannot be: the node does not start, and says where and why.
func TestWrongSettings(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"peers.max_inbond = 1\n", "switchyard.toml:1: peers.max_inbond: unknown key (did you mean max_inbound?)"},
		{"network = \"other\"\n", "network: remove it: the genesis file decides"},
		{"[wires.comet]\nsend_rate = -1\n", "SendRate"},
	} {
		net := newNetwork(t, "b", nil)
		n := net.nodes[0]
		if err := os.WriteFile(filepath.Join(n.cfg.RootDir, File), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := n.try(t)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

// TestNodeKey: without a key in Options, that of the node key file is used. It must be the node's.
func TestNodeKey(t *testing.T) {
	n := newNetwork(t, "b", nil).nodes[0]
	if err := n.tryWith(t, Options{}); err != nil {
		t.Fatal(err)
	}
	other := &p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
	if err := other.SaveAs(n.cfg.NodeKeyFile()); err != nil {
		t.Fatal(err)
	}
	if err := n.tryWith(t, Options{}); err == nil || !strings.Contains(err.Error(), "set Options.NodeKey") {
		t.Errorf("got %v", err)
	}
}

// TestPortTaken: a node whose port is taken does not start, and says so.
func TestPortTaken(t *testing.T) {
	net := newNetwork(t, "bb", nil)
	a, b := net.nodes[0], net.nodes[1]
	a.start(t)
	b.cfg.P2P.ListenAddress = a.cfg.P2P.ListenAddress
	if err := b.try(t); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

// try starts a node that cannot start, and returns why.
func (n *testNode) try(t *testing.T) error {
	t.Helper()
	return n.tryWith(t, Options{NodeKey: n.key})
}

func (n *testNode) tryWith(t *testing.T, o Options) error {
	t.Helper()
	made, err := newTestNode(n, proxy.NewLocalClientCreator(kvstore.NewInMemoryApplication()), log.NewNopLogger(),
		Option(o))
	if err != nil {
		t.Fatal(err)
	}
	err = made.Start()
	if err == nil {
		_ = made.Stop()
	}
	return err
}

// breaker is a service that fails once it is closed.
type breaker chan struct{}

func (b breaker) Run(ctx context.Context) error {
	select {
	case <-b:
		return errors.New("broken")
	case <-ctx.Done():
		return nil
	}
}

// TestFailure: when Switchyard ends by itself, the node stops and tells why.
func TestFailure(t *testing.T) {
	net := newNetwork(t, "b", nil)
	n := net.nodes[0]
	broken := make(breaker)
	n.plugins = modules.With(standard.Plugins(), modules.Service("breaker",
		func() (none struct{}) { return none },
		func(struct{}, *host.Host, *slog.Logger) (breaker, error) { return broken, nil }).OnByDefault())
	n.start(t)
	close(broken)
	select {
	case err := <-n.failed:
		if err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the node was not told")
	}
	if n.node.IsRunning() {
		t.Error("the node runs")
	}
}

// TestStartOrder: Switchyard starts behind all reactors, so that one that takes its time delays none of them.
func TestStartOrder(t *testing.T) {
	net := newNetwork(t, "b", nil)
	n := net.nodes[0]
	var sw *p2p.Switch
	n.plugins = modules.With(standard.Plugins(), modules.Extend("order", func(modules.Config) fx.Option {
		return fx.Invoke(func() {
			for name, r := range sw.Reactors() {
				if !r.IsRunning() {
					t.Errorf("%s does not run yet", name)
				}
			}
		})
	}))
	n.start(t, func(made *node.Node) { sw, _ = any(made.Switch()).(*p2p.Switch) })
	if list := sw.Reactors(); len(list) < 4 {
		t.Errorf("reactors: %v", list)
	}
}

// TestListeners: the node listens where config.toml says, and CometBFT's own transport nowhere.
func TestListeners(t *testing.T) {
	net := newNetwork(t, "b", nil)
	n := net.nodes[0]
	n.start(t)
	var ports []string
	for _, a := range n.below.host.Load().ListenAddrs() {
		ports = append(ports, a.String())
	}
	want := []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.port), fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", n.port)}
	if !slices.Equal(ports, want) {
		t.Errorf("listens at %v", ports)
	}
	if want := fmt.Sprintf("tcp://127.0.0.1:%d", n.port); n.cfg.P2P.ListenAddress != want {
		t.Errorf("p2p.laddr is %s now", n.cfg.P2P.ListenAddress)
	}
	if tried := closeStock(n.node, func(func()) {}); !tried {
		t.Error("the listener of CometBFT's own transport was not found")
	}
}
