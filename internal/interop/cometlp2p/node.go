// Package cometlp2p runs real CometBFT switches in their libp2p mode (QUIC, one message a stream), for tests beside
// them.
package cometlp2p

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/lp2p"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/version"

	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
)

// Config describes a node.
type Config struct {
	Network  string
	Channels []byte                       // that count and echo; nil means the echo channel
	Peers    []config.LibP2PBootstrapPeer // peers that it dials at its start
}

// Node is a running CometBFT switch over libp2p, with an echo reactor.
type Node struct {
	Switch *lp2p.Switch
	Host   *lp2p.Host
	Echo   *cometpeer.EchoReactor
	Key    ed25519.PrivKey
	port   int
}

// Start starts a node on a free loopback port. It stops with the test.
func Start(tb testing.TB, c Config) *Node {
	tb.Helper()
	if c.Channels == nil {
		c.Channels = []byte{cometpeer.EchoChannel}
	}
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	n := &Node{Key: ed25519.GenPrivKey(), port: port, Echo: cometpeer.NewEchoReactor(c.Channels)}
	pc := config.DefaultP2PConfig()
	pc.ListenAddress = fmt.Sprintf("tcp://127.0.0.1:%d", port) // it takes the port for QUIC
	pc.LibP2PConfig.Enabled = true
	pc.LibP2PConfig.BootstrapPeers = c.Peers
	logger := log.NewNopLogger()
	if os.Getenv("COMET_LOG") != "" {
		logger = log.NewTMLogger(log.NewSyncWriter(os.Stderr)).With("node", "lp2p")
	}
	if n.Host, err = lp2p.NewHost(pc, n.Key, logger); err != nil {
		tb.Fatalf("start CometBFT's libp2p host: %v", err)
	}
	info := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 0),
		DefaultNodeID:   p2p.PubKeyToID(n.Key.PubKey()), ListenAddr: fmt.Sprintf("127.0.0.1:%d", port),
		Network: c.Network, Version: version.TMCoreSemVer,
		Moniker: "comet-lp2p", Channels: c.Channels, Other: p2p.DefaultNodeInfoOther{TxIndex: "off"},
	}
	n.Switch, err = lp2p.NewSwitch(info, n.Host, []lp2p.SwitchReactor{{Reactor: n.Echo, Name: "ECHO"}},
		p2p.NopMetrics(), logger)
	if err == nil {
		err = n.Switch.Start()
	}
	if err != nil {
		_ = n.Host.Close()
		tb.Fatalf("start CometBFT's libp2p switch: %v", err)
	}
	tb.Cleanup(func() {
		_ = n.Switch.Stop()
		_ = n.Host.Close()
	})
	return n
}

// Address returns the node's multiaddr with its peer id.
func (n *Node) Address() string {
	return fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", n.port, n.Host.ID())
}

// ID returns the peer id, by which switches name their peers.
func (n *Node) ID() string { return n.Host.ID().String() }

// Peer returns the switch's peer with that peer id, or nil.
func (n *Node) Peer(id string) p2p.Peer { return n.Switch.Peers().Get(p2p.ID(id)) }

func freePort() (int, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}
