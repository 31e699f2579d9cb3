// Package hosttest builds networks of real hosts in memory, for tests: N nodes, each with its own key, IP address and
// store, over transport/memory and the comet wire, the libp2p wire or both. Nodes are started, stopped, crashed and
// restarted, the network between them is cut, healed, delayed and lossy, and assertions say in words what is wrong.
//
// It is made for testing/synctest, whose clock only advances while everybody waits, so that an hour of network takes as
// long as its work:
//
//	func TestTwoHalves(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			net := hosttest.New(t, hosttest.Options{Nodes: 10, KnowFirst: true})
//			net.AwaitConnected()
//			net.Cut(memory.Stall, net.Nodes[:5])
//			time.Sleep(5 * time.Minute)
//			net.Heal()
//			net.AwaitConnected()
//			net.AssertTruth()
//		})
//	}
//
// It works with the real clock, too, only slower. All waits are bounded by Options.Patience; a wait that fails ends the
// test and shows the nodes.
package hosttest

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/peerstore"
	store "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// TestChannel is the channel that nodes have when Options.Channels names none.
const TestChannel = 0x70

// Port is where every node listens.
const Port = 26656

// Options say what a network is like. The zero Options are two nodes that do not know each other.
type Options struct {
	Nodes   int    // 0 means 2
	Network string // "" means "hosttest"
	// Seed is where keys, jitter, loss and the peer managers' choices begin; 0 means 1. How goroutines interleave is
	// not repeatable.
	Seed uint64
	// KnowFirst lets every node know the address of Nodes[0] from the start.
	KnowFirst bool
	// Channels are opened on every node; nil means TestChannel with the default budgets.
	Channels []muxer.Channel
	// Speaks says which wires a node speaks, in order of preference: "comet", "libp2p". nil means comet only. It is
	// asked at each start, and for addresses.
	Speaks func(n *Node) []string
	// Security is that of the libp2p wire: "noise" or "tls"; "" means noise.
	Security string
	// Identity signs for a node, by its Key, such as one that asks a signer; nil means the Key itself. It is asked at
	// each start. While the node runs, its security keeps its proofs fresh (handshake.Security.Keep).
	Identity func(n *Node) handshake.Identity
	// Plain replaces SecretConnection and the libp2p securities by an exchange of public keys without proof or
	// encryption, for networks so large that cryptography counts (about 0.3 ms a link).
	Plain bool
	// Conditions hold between all nodes, until Delay, Lose or Memory().SetConditions changes them.
	Conditions memory.Conditions
	Mconn      mconn.Config
	// Tune may change a node's configuration before each of its starts. Of the nodes that come later the keys and
	// addresses are known already.
	Tune func(n *Node, c *host.Config)
	// Services may open channels and returns what is to run as long as the node does. It is called before each start,
	// when n.Host has been made and does not run yet. Discovery is such a service:
	//
	//	src, err := pex.New(pex.Config{}, discovery.Env{OpenChannel: n.Host.OpenChannel})
	//	run := func(ctx context.Context) error { return src.Run(ctx, n.Host, n.Found("pex")) }
	//	return []hosttest.Service{run}, err
	Services func(n *Node) ([]Service, error)
	// IP is the address of the i-th node; nil puts each into a network group of its own.
	IP func(i int) netip.Addr
	// Stopped leaves it to the test to start the nodes.
	Stopped bool
	// Patience bounds each wait; 0 means 5 minutes.
	Patience time.Duration
	Logger   *slog.Logger // nil discards; each node's lines carry its name
}

// Network is a network of nodes. Its methods are for the test's goroutine, unless they say otherwise.
type Network struct {
	Nodes []*Node

	t     testing.TB
	o     Options
	mem   *memory.Network
	began time.Time
}

// New makes a network and starts its nodes. They stop when the test ends.
func New(t testing.TB, o Options) *Network {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 2
	}
	if o.Network == "" {
		o.Network = "hosttest"
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Channels == nil {
		o.Channels = []muxer.Channel{{ID: TestChannel}}
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	net := &Network{t: t, o: o, mem: memory.NewNetwork(memory.Config{Seed: o.Seed, Conditions: o.Conditions}),
		began: time.Now()}
	for i := range o.Nodes {
		net.add(i)
	}
	t.Cleanup(net.Stop)
	if !o.Stopped {
		net.Start()
	}
	return net
}

// add makes a node that does not run.
func (net *Network) add(i int) *Node {
	var seed [handshake.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], net.o.Seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(i)+1)
	n := &Node{
		Index: i, Name: fmt.Sprintf("node %d", i), Key: handshake.NewIdentity(seed),
		Store: store.New(peerstore.Limits{}),
		net:   net, ip: netip.AddrFrom4([4]byte{byte(80 + i>>8), byte(i), 0, 1}), // each in its own network group
		conns: map[*conn]struct{}{},
	}
	if net.o.IP != nil {
		n.ip = net.o.IP(i)
	}
	n.ID = n.Key.ID()
	n.memory = net.mem.NewTransport(memory.HostConfig{IP: n.ip})
	net.Nodes = append(net.Nodes, n)
	return n
}

// Add makes one more node and starts it.
func (net *Network) Add() *Node {
	net.t.Helper()
	n := net.add(len(net.Nodes))
	n.Start()
	return n
}

// Start starts all nodes that do not run.
func (net *Network) Start() {
	net.t.Helper()
	for _, n := range net.Nodes {
		if !n.Running() {
			n.Start()
		}
	}
}

// Stop stops all nodes, at once.
func (net *Network) Stop() {
	var wg sync.WaitGroup
	for _, n := range net.Nodes {
		wg.Go(n.Stop)
	}
	wg.Wait()
}

// Memory returns the network underneath, for conditions of which there is no shorthand here.
func (net *Network) Memory() *memory.Network { return net.mem }

// Since returns how long the network has existed, by the clock of the test.
func (net *Network) Since() time.Duration { return time.Since(net.began) }

// Cut cuts the network between the groups; nodes that are in none are one more group. See memory.Network.Cut.
func (net *Network) Cut(mode memory.CutMode, groups ...[]*Node) {
	machines := make([][]*memory.Transport, len(groups))
	for i, g := range groups {
		for _, n := range g {
			machines[i] = append(machines[i], n.memory)
		}
	}
	net.mem.Cut(mode, machines...)
}

// Heal ends the cut.
func (net *Network) Heal() { net.mem.Heal() }

// Delay lets bytes between all nodes take that long one way.
func (net *Network) Delay(latency, jitter time.Duration) {
	net.o.Conditions.Latency, net.o.Conditions.Jitter = latency, jitter
	net.mem.SetConditions(net.o.Conditions)
}

// Lose loses that share of all packets, 0 to 1. In a byte stream loss is delay.
func (net *Network) Lose(share float64) {
	net.o.Conditions.Loss = share
	net.mem.SetConditions(net.o.Conditions)
}

// Between sets the conditions between two nodes, both ways, whatever holds between the others.
func (net *Network) Between(a, b *Node, c memory.Conditions) { net.mem.SetPair(a.memory, b.memory, c) }

// Break resets all connections between two nodes, once.
func (net *Network) Break(a, b *Node) { net.mem.ResetBetween(a.memory, b.memory) }

// NameOf returns the name of the node with an id, or the id where it is none of ours.
func (net *Network) NameOf(id transport.NodeID) string {
	if n := net.node(id); n != nil {
		return n.Name
	}
	return string(id)
}

func (net *Network) node(id transport.NodeID) *Node {
	for _, n := range net.Nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}
