package switchyard

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/static"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit bounds what a test waits for.
const limit = 20 * time.Second

// build makes a node that the test's end closes.
func build(t *testing.T, opts ...Option) *Node {
	t.Helper()
	n, err := New(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// run runs a node until the test's end.
func run(t *testing.T, n *Node) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := n.Host().WaitListening(ctx); err != nil {
		t.Fatal("the node does not listen:", err)
	}
}

var loopback = Listen("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")

// TestEveryWire dials a standard node over each of its addresses.
func TestEveryWire(t *testing.T) {
	a := build(t, Moniker("anna"), loopback)
	run(t, a)
	got := map[string]bool{}
	for _, addr := range a.Addresses() {
		b := build(t, Listen())
		run(t, b)
		p, err := b.Host().Dial(t.Context(), addr)
		if err != nil || p.Moniker != "anna" || p.ID != a.Host().Self() {
			t.Errorf("%s: %+v, %v", addr, p, err)
		}
		got[strings.Join([]string{p.Wire, p.Transport, p.Security, p.Muxer}, " ")] = true
	}
	for _, want := range []string{"comet tcp secretconn mconn", "libp2p tcp noise yamux", "libp2p quic tls quic"} {
		if !got[want] {
			t.Errorf("no link is %s, among %v", want, got)
		}
	}
}

// TestFindsPeers: of three nodes two know the first alone, and find each other through it.
func TestFindsPeers(t *testing.T) {
	a := build(t, Network("find"), loopback)
	run(t, a)
	b := build(t, Network("find"), loopback, Bootstrap(a.Addresses()[0].String()))
	c := build(t, Network("find"), loopback, Persistent(a.Addresses()[0].String()))
	peers := c.Host().Subscribe(t.Context())
	defer peers.Close()
	run(t, b)
	run(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	up := map[transport.NodeID]bool{}
	for !up[a.Host().Self()] || !up[b.Host().Self()] {
		u, err := peers.Next(ctx)
		if err != nil {
			t.Fatalf("up are %v: %v", up, err)
		}
		up[u.ID] = u.Status == host.PeerUp
	}
	if p, ok := c.Host().Peer(a.Host().Self()); !ok || !p.Trusted {
		t.Errorf("the persistent peer: %+v", p)
	}
}

// TestRestart: with a key file and a store a node has the same id and peers after a restart.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	keep := []Option{KeyFile(filepath.Join(dir, "new", "node_key.json")), Store(filepath.Join(dir, "peers")), Listen()}
	first, err := New(t.Context(), append(keep, Bootstrap(strings.Repeat("ab", 20)+"@192.0.2.1:26656"))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	_ = first.Host().WaitListening(ctx)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again := build(t, keep...)
	if again.Host().Self() != first.Host().Self() || again.store.Stats().Known != 1 {
		t.Errorf("%s knows %d peers, was %s", again.Host().Self(), again.store.Stats().Known, first.Host().Self())
	}
}

func TestRunsOnce(t *testing.T) {
	n := build(t, loopback)
	run(t, n)
	if err := n.Run(t.Context()); !errors.Is(err, host.ErrStarted) {
		t.Errorf("a second Run: %v", err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := n.Run(t.Context()); !errors.Is(err, host.ErrStopped) {
		t.Errorf("a Run after Close: %v", err)
	}
}

// TestRunFails: a node that cannot listen returns why, and leaves nothing behind.
func TestRunFails(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	n := build(t, Listen("/ip4/127.0.0.1/tcp/"+port))
	if err := n.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

// TestReplaced: transports and sources of the caller take the places of the standard ones.
func TestReplaced(t *testing.T) {
	network := memory.NewNetwork(memory.Config{})
	machine := func(ip string) Option {
		return Transports(network.NewTransport(memory.HostConfig{IP: netip.MustParseAddr(ip)}))
	}
	a := build(t, machine("1.2.3.4"), Listen("/ip4/1.2.3.4/tcp/1"))
	run(t, a)
	known := static.Config{Addresses: []string{a.Addresses()[0].String()}}
	b := build(t, machine("5.6.7.8"), Listen(), Logger(slog.New(slog.DiscardHandler)),
		Source("static", func(env discovery.Env) (discovery.Source, error) { return static.New(known, env) }),
		Tune(func(c *host.Config) { c.Moniker = "tuned" }))
	if b.Host().Moniker() != "tuned" {
		t.Errorf("moniker %s", b.Host().Moniker())
	}
	if none := build(t, Source("pex", nil)); len(none.sources) != 0 || len(b.sources) != 2 {
		t.Errorf("%d and %d sources", len(none.sources), len(b.sources))
	}
	peers := a.Host().Subscribe(t.Context())
	defer peers.Close()
	run(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if u, err := peers.Next(ctx); err != nil || u.ID != b.Host().Self() {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestDefaultListen: the default listen addresses are the ones that the transports take.
func TestDefaultListen(t *testing.T) {
	network := memory.NewNetwork(memory.Config{})
	n := build(t, Transports(network.NewTransport(memory.HostConfig{IP: netip.MustParseAddr("0.0.0.0")})))
	run(t, n)
	if got := n.Host().ListenAddrs(); len(got) != 1 || !strings.HasPrefix(got[0].String(), "/ip4/0.0.0.0/tcp/") {
		t.Errorf("listens on %v", got)
	}
}

func TestBadOptions(t *testing.T) {
	broken := errors.New("broken")
	const nowhere = "013dd783e69093558b5076179dc73a0789d85115@0.0.0.0:26656"
	for _, tt := range []struct {
		opt  Option
		want string
	}{
		{Listen("nonsense"), "switchyard: listen: "},
		{Bootstrap("10.0.0.1:1"), "switchyard: bootstrap: "},
		{Persistent("nonsense"), "switchyard: persistent: "},
		{Bootstrap(nowhere), "switchyard: bootstrap: "},
		{Persistent(nowhere), "switchyard: persistent: "},
		{Network(""), "switchyard: "},
		{KeyFile("/dev/null"), "switchyard: "},
		{Store("/dev/null"), "switchyard: store: "},
		{Source("bad", func(discovery.Env) (discovery.Source, error) { return nil, broken }),
			"switchyard: source bad: "},
		{Tune(func(c *host.Config) { c.Wires = nil }), "switchyard: "},
	} {
		n, err := New(t.Context(), tt.opt)
		if n != nil || err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s...", err, tt.want)
		}
	}
}

// TestStoreFails: a store that fails ends the node with its error.
func TestStoreFails(t *testing.T) {
	broken := errors.New("the disk fell off")
	n := build(t, Listen())
	n.store = failingStore{n.store, broken}
	if err := n.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failingStore struct {
	peerstore.Store
	err error
}

func (s failingStore) Run(context.Context) error { return s.err }
