package cometbft

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/abci/example/kvstore"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/rpc/client/local"
	"github.com/cometbft/cometbft/types"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/transport"
)

// network is a chain of validators in this process, over loopback.
type network struct {
	t     *testing.T
	nodes []*testNode
}

// testNode is one validator. kind says what it runs: s stock CometBFT, m ours over MConn alone, q ours over QUIC
// alone, b ours over both.
type testNode struct {
	kind   byte
	cfg    *config.Config
	key    *p2p.NodeKey
	pv     *privval.FilePV
	port   int
	node   *node.Node
	client *local.Local
	failed chan error
	stores map[string]*dbm.MemDB // its databases, which survive a restart
	app    abci.Application      // nil: a key-value store
	// plugins replaces the standard ones
	plugins []modules.Plugin
	below   *yard // what is below the Switch of the last node that was made
}

const testChain = "test-chain"

// files are the switchyard.toml of the kinds.
var files = map[byte]string{
	'm': "stack.wires = [\"comet\"]\n",
	'q': "stack.wires = [\"libp2p\"]\nstack.transports = [\"quic\"]\n",
	'b': "",
}

// newNetwork makes validators of the given kinds, each of which has all others that it can reach as persistent peers.
// change, if set, may change a node's configuration.
func newNetwork(t *testing.T, kinds string, change func(i int, n *testNode)) *network {
	net := &network{t: t}
	genesis := types.GenesisDoc{ChainID: testChain, GenesisTime: time.Now().Add(-time.Second),
		ConsensusParams: types.DefaultConsensusParams()}
	for i := range kinds {
		n := &testNode{kind: kinds[i], cfg: config.TestConfig(), port: freePort(t), failed: make(chan error, 1),
			stores: map[string]*dbm.MemDB{}}
		n.cfg.SetRoot(folder(t))
		for _, dir := range []string{"config", "data"} {
			if err := os.MkdirAll(filepath.Join(n.cfg.RootDir, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		n.cfg.Moniker = fmt.Sprintf("%c%d", n.kind, i)
		n.cfg.RPC.ListenAddress = ""
		noGRPC(n.cfg)
		n.cfg.P2P.ListenAddress = fmt.Sprintf("tcp://127.0.0.1:%d", n.port)
		n.cfg.P2P.AllowDuplicateIP, n.cfg.P2P.AddrBookStrict = true, false
		n.cfg.Consensus.TimeoutCommit = 50 * time.Millisecond
		n.cfg.Consensus.TimeoutPropose = 2 * time.Second
		n.cfg.Consensus.TimeoutPrevote, n.cfg.Consensus.TimeoutPrecommit = time.Second, time.Second
		n.key = &p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
		if err := n.key.SaveAs(n.cfg.NodeKeyFile()); err != nil {
			t.Fatal(err)
		}
		n.pv = privval.NewFilePV(ed25519.GenPrivKey(), n.cfg.PrivValidatorKeyFile(), n.cfg.PrivValidatorStateFile())
		n.pv.Save()
		pub, _ := n.pv.GetPubKey()
		genesis.Validators = append(genesis.Validators, types.GenesisValidator{PubKey: pub, Power: 10})
		net.nodes = append(net.nodes, n)
	}
	for i, n := range net.nodes {
		if err := genesis.SaveAs(n.cfg.GenesisFile()); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(i, n)
		}
		net.introduce(n)
	}
	return net
}

// introduce writes the persistent peers of a node: in config.toml those that it reaches over MConn, else in
// switchyard.toml.
func (net *network) introduce(n *testNode) {
	var comet, quic []string
	for _, o := range net.nodes {
		switch {
		case o == n, strings.Contains("sq qs mq qm", string([]byte{n.kind, o.kind})):
		case o.kind == 'q' || n.kind == 'q':
			peer := transport.PeerIDFromEd25519(o.key.PubKey().Bytes())
			quic = append(quic, fmt.Sprintf("%q", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", o.port, peer)))
		default:
			comet = append(comet, fmt.Sprintf("%s@127.0.0.1:%d", o.key.ID(), o.port))
		}
	}
	n.cfg.P2P.PersistentPeers = strings.Join(comet, ",")
	if n.kind != 's' {
		text := files[n.kind] + fmt.Sprintf("peers.persistent = [%s]\n", strings.Join(quic, ", "))
		path := filepath.Join(n.cfg.RootDir, File)
		if old, err := os.ReadFile(path); err == nil {
			text = string(old) + text
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			net.t.Fatal(err)
		}
	}
}

// start makes and starts a node, which stops with the test.
func (n *testNode) start(t *testing.T, more ...node.Option) {
	t.Helper()
	logger := log.NewNopLogger()
	if os.Getenv("COMET_LOG") != "" {
		logger = log.NewTMLogger(log.NewSyncWriter(os.Stderr)).With("node", n.cfg.Moniker)
	}
	if n.kind != 's' {
		o := Options{NodeKey: n.key, Plugins: n.plugins, Failed: func(err error) { n.failed <- err }}
		more = append(more, func(made *node.Node) { n.below = change(made, o).yard })
	}
	var app abci.Application = kvstore.NewInMemoryApplication()
	if n.app != nil {
		app = n.app
	}
	made, err := newTestNode(n, proxy.NewLocalClientCreator(app), logger,
		more...)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(); err != nil {
		t.Fatal(err)
	}
	n.node = made
	n.client = local.New(n.node)
	t.Cleanup(n.stop)
}

// database is a config.DBProvider. On disk, CometBFT leaves some databases locked, and reads from others when they are
// closed.
func (n *testNode) database(ctx *config.DBContext) (dbm.DB, error) {
	if n.stores[ctx.ID] == nil {
		n.stores[ctx.ID] = dbm.NewMemDB()
	}
	return n.stores[ctx.ID], nil
}

func (n *testNode) stop() {
	if n.node.IsRunning() {
		_ = n.node.Stop()
	}
	n.node.Wait()
}

func (net *network) start() {
	net.t.Helper()
	for _, n := range net.nodes {
		n.start(net.t)
	}
}

// height returns the height of the latest block.
func (n *testNode) height() int64 { return n.node.BlockStore().Height() }

// reach waits until all nodes have a height.
func (net *network) reach(height int64) {
	net.t.Helper()
	eventually(net.t, fmt.Sprintf("height %d", height), func() bool {
		for _, n := range net.nodes {
			if n.height() < height {
				return false
			}
		}
		return true
	}, func() string {
		var s []string
		for _, n := range net.nodes {
			s = append(s, fmt.Sprintf("%s is at %d with %d peers", n.cfg.Moniker, n.height(),
				n.node.Switch().Peers().Size()))
		}
		return strings.Join(s, ", ")
	})
}

// agree checks that all nodes have the same blocks, and that a transaction through each node is committed.
func (net *network) agree() {
	t := net.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, n := range net.nodes {
		tx := types.Tx(fmt.Sprintf("key%d=value", i))
		res, err := n.client.BroadcastTxSync(ctx, tx)
		if err != nil || res.Code != 0 {
			t.Fatalf("a transaction through %s: %v, %+v", n.cfg.Moniker, err, res)
		}
	}
	for i := range net.nodes {
		for _, n := range net.nodes {
			eventually(t, fmt.Sprintf("key%d is at %s", i, n.cfg.Moniker), func() bool {
				res, err := n.client.ABCIQuery(ctx, "", []byte(fmt.Sprintf("key%d", i)))
				return err == nil && bytes.Equal(res.Response.Value, []byte("value"))
			}, nil)
		}
	}
	last := net.nodes[0].height()
	net.reach(last + 1)
	for h := int64(1); h <= last; h++ {
		want := net.nodes[0].node.BlockStore().LoadBlockMeta(h)
		for _, n := range net.nodes[1:] {
			if got := n.node.BlockStore().LoadBlockMeta(h); got == nil || !got.BlockID.Equals(want.BlockID) {
				t.Fatalf("%s has another block %d", n.cfg.Moniker, h)
			}
		}
	}
}

// eventually waits for what CometBFT's goroutines bring about: they have real clocks.
func eventually(t *testing.T, what string, ok func() bool, why func() string) {
	t.Helper()
	end := time.Now().Add(90 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			if why != nil {
				what += ": " + why()
			}
			t.Fatal("not in time: ", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort returns a port of loopback that is free for TCP and UDP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// folder is t.TempDir for nodes: CometBFT's address book is written after its node has stopped.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "switchyard-cometbft-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
