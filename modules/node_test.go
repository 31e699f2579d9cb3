package modules

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/discovery/static"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

func zero[C any]() (c C) { return c }

// realPlugins is a whole catalogue without QUIC. A machine of a network in memory, if given, replaces TCP.
func realPlugins(machine *memory.Transport, more ...Plugin) []Plugin {
	t := Transport("tcp", zero[tcp.Config], stock.TCP)
	if machine != nil {
		t = Transport("tcp", zero[struct{}], func(struct{}) (transport.Transport, error) { return machine, nil })
	}
	return append([]Plugin{
		t,
		Wire("comet", zero[mconn.Config], func(cfg mconn.Config, env WireEnv) (*comet.Wire, error) {
			return stock.Comet(cfg, env.MessageMemory, env.Identity, env.Logger)
		}),
		StreamWire("libp2p", zero[stock.Libp2pConfig], func(cfg stock.Libp2pConfig, env WireEnv) (*libp2p.Wire, error) {
			return stock.Libp2p(cfg, env.MessageMemory, env.Identity, env.Securities, env.Muxers, env.Logger)
		}),
		Security("noise", zero[struct{}], stock.Noise),
		Security("tls", stock.DefaultTLS, stock.TLS),
		Muxer("yamux", zero[yamux.Config], func(cfg yamux.Config, env MuxerEnv) (*yamux.Muxer, error) {
			return stock.Yamux(cfg, env.MessageMemory, env.Logger)
		}),
		Discovery("pex", pex.Default, pex.New),
		Discovery("static", static.Default, static.New),
		Service("echo", zero[echo.Config], stock.Echo),
	}, more...)
}

// newMachine returns the only machine of a network in memory.
func newMachine(ip string) *memory.Transport {
	return memory.NewNetwork(memory.Config{}).NewTransport(memory.HostConfig{IP: netip.MustParseAddr(ip)})
}

// quiet returns a configuration of a node that touches nothing outside of its folder.
func quiet(t *testing.T) Config {
	c := Default()
	c.Home = t.TempDir()
	c.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0"}
	c.Store.Path, c.Admin.Address = "", ""
	return c
}

// parts records what the supervisor logs: "started store", "stopped host", ...
type parts struct {
	mu   sync.Mutex
	seen []string
}

func (p *parts) logger() *slog.Logger { return slog.New(partHandler{p, ""}) }

func (p *parts) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

type partHandler struct {
	parts *parts
	name  string
}

func (h partHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h partHandler) WithGroup(string) slog.Handler            { return h }
func (h partHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "part" {
			h.name = a.Value.String()
		}
	}
	return h
}
func (h partHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "started" || r.Message == "stopped" {
		h.parts.mu.Lock()
		defer h.parts.mu.Unlock()
		h.parts.seen = append(h.parts.seen, r.Message+" "+h.name)
	}
	return nil
}

func TestGraph(t *testing.T) {
	c := quiet(t)
	c.Services["echo"] = Table{"enabled": true}
	c.Admin.Address = "127.0.0.1:0"
	if err := fx.ValidateApp(Node(c, realPlugins(nil)...)); err != nil {
		t.Error(err)
	}
}

// TestModulesAlone shows that a feature's module needs no whole node.
func TestModulesAlone(t *testing.T) {
	c := quiet(t)
	var transports []transport.Transport
	var wires []handshake.Wire
	var store peerstore.Store
	app := fx.New(Base(c), Transports(c, realPlugins(nil)...), Handshake(c, realPlugins(nil)...), Store(c),
		fx.Populate(&transports, &wires, &store))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if len(transports) != 1 || transports[0].Name() != "tcp" || len(wires) != 2 || wires[0].Name() != "comet" ||
		wires[1].Name() != "libp2p" || store == nil {
		t.Errorf("got %v, %v, %v", transports, wires, store != nil)
	}
	// Another identity replaces the key file.
	key := handshake.NewIdentity([32]byte{1})
	var id handshake.Identity
	app = fx.New(Base(c), Handshake(c, realPlugins(nil)...),
		fx.Decorate(func() handshake.Identity { return key }), fx.Populate(&id))
	if err := app.Err(); err != nil || id != key {
		t.Errorf("got %v, %v", id, err)
	}
	if _, err := os.Stat(filepath.Join(c.Home, "node_key.json")); err != nil {
		t.Error("the first app made no key:", err)
	}
}

type namedTransport struct {
	transport.Transport
	name string
}

func (t namedTransport) Name() string { return t.name }

// TestOrder shows that the configuration decides on the order, whatever the catalogue's.
func TestOrder(t *testing.T) {
	var list []Plugin
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, n := range names {
		list = append(list, Transport(n, zero[struct{}], func(struct{}) (transport.Transport, error) {
			return namedTransport{tcp.New(tcp.Config{}), n}, nil
		}))
	}
	for i := range 10 {
		c := quiet(t)
		c.Stack.Transports = slices.Concat(names[i%8:], names[:i%8])
		if i%2 == 1 {
			slices.Reverse(c.Stack.Transports)
		}
		var got []transport.Transport
		if err := fx.New(Base(c), Transports(c, list...), fx.Populate(&got)).Err(); err != nil {
			t.Fatal(err)
		}
		for j, g := range got {
			if g.Name() != c.Stack.Transports[j] {
				t.Fatalf("place %d has %s, want the order %v", j, g.Name(), c.Stack.Transports)
			}
		}
	}
}

func TestStartAndStopInOrder(t *testing.T) {
	c := quiet(t)
	c.Services["echo"] = Table{"enabled": true}
	c.Admin.Address, c.Store.Path = "127.0.0.1:0", "data/peers"
	var p parts
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, Node(c, realPlugins(nil)...), fx.Supply(p.logger()), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StartHook(cancel)) // when all have started
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"started store", "started proofs of noise", "started proofs of tls", "started host", "started pex",
		"started echo", "started admin", "stopped admin", "stopped echo", "stopped pex", "stopped host",
		"stopped proofs of tls", "stopped proofs of noise", "stopped store"}
	if got := p.all(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestZeroSettings shows that a node without any setting but its folder works: it makes a key and listens.
func TestZeroSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Default()
		c.Home, c.Store.Path, c.Admin.Address = t.TempDir(), "", "" // no files and sockets in a bubble
		machine := newMachine("0.0.0.0")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var h *host.Host
		err := Run(ctx, Node(c, realPlugins(machine)...), fx.Populate(&h), fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StartHook(func() {
				if len(h.ListenAddrs()) != 1 || !h.Self().IsEd25519() {
					t.Errorf("listens on %v as %s", h.ListenAddrs(), h.Self())
				}
				cancel()
			}))
		}))
		if err != nil {
			t.Error(err)
		}
	})
}

type runFunc func(ctx context.Context) error

func (f runFunc) Run(ctx context.Context) error { return f(ctx) }

func service(name string, run runFunc) Plugin {
	return Service(name, zero[struct{}],
		func(struct{}, *host.Host, *slog.Logger) (runFunc, error) { return run, nil }).OnByDefault()
}

// TestFailureShutsDown shows that a Run that fails ends the node with its error, and the parts in order.
func TestFailureShutsDown(t *testing.T) {
	broken := errors.New("the disk fell off")
	var p parts
	fail := make(chan struct{})
	list := realPlugins(nil, service("broken", func(ctx context.Context) error { <-fail; return broken }))
	err := Run(t.Context(), Node(quiet(t), list...), fx.Supply(p.logger()), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StartHook(func() { close(fail) }))
	}))
	if !errors.Is(err, broken) || err.Error() != "broken: the disk fell off" {
		t.Errorf("got %v", err)
	}
	if got := p.all(); len(got) < 6 || !slices.Equal(got[len(got)-6:], []string{"stopped broken", "stopped pex",
		"stopped host", "stopped proofs of tls", "stopped proofs of noise", "stopped store"}) {
		t.Errorf("got %v", got)
	}
	// An app that fx itself runs gets exit code 1.
	fail = make(chan struct{})
	app := fx.New(Node(quiet(t), list...))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait := app.Wait()
	close(fail)
	if s := <-wait; s.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", s.ExitCode)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHungServiceDoesNotHoldTheStop shows that a clean stop is bounded in time, names the part that hangs, and stops
// the others.
func TestHungServiceDoesNotHoldTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := newMachine("127.0.0.1")
		release := make(chan struct{})
		hung := service("hung", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var p parts
		err := Run(ctx, Node(quiet(t), realPlugins(machine, hung)...), fx.Supply(p.logger()),
			fx.Invoke(func(lc fx.Lifecycle) {
				lc.Append(fx.StartHook(cancel))
			}))
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "hung did not stop in time") ||
			took > StopTimeout {
			t.Errorf("after %v: %v", took, err)
		}
		if got := p.all(); !slices.Equal(got[max(0, len(got)-4):], []string{"stopped host", "stopped proofs of tls",
			"stopped proofs of noise", "stopped store"}) {
			t.Errorf("got %v", got)
		}
		close(release)
	})
}

// TestStartFails shows that a node that cannot start returns one line, and leaves nothing behind.
func TestStartFails(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
		is     error
	}{
		{"port in use", func(c *Config) { c.Listen.Addresses = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)} },
			"host: listen on ", syscall.EADDRINUSE},
		{"second port in use", func(c *Config) {
			c.Listen.Addresses = append(c.Listen.Addresses, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port))
		}, "host: listen on ", syscall.EADDRINUSE},
		{"admin port in use", func(c *Config) { c.Admin.Address = fmt.Sprintf("127.0.0.1:%d", port) }, "admin: ",
			syscall.EADDRINUSE},
		{"bad key file", func(c *Config) { c.Identity.Key = "config.toml" }, "node key ", nil},
		{"store is a file", func(c *Config) { c.Store.Path = "config.toml" }, "store: ", nil},
		{"no transport for a listen address", func(c *Config) {
			c.Listen.Addresses = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
		}, "listen.addresses: ", nil},
		{"bad setting", func(c *Config) { c.Peers.MaxInbound = -1 }, "peers.max_inbound: ", nil},
		{"bad plug-in setting", func(c *Config) { c.Wires = map[string]Table{"comet": {"ping_interval": "1ns"}} },
			"wires.comet: ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := quiet(t)
			c.Store.Path = "data/peers"
			if err := os.WriteFile(filepath.Join(c.Home, "config.toml"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			tt.change(&c)
			err := Run(t.Context(), Node(c, realPlugins(nil)...))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") ||
				tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCatalogueMistakes(t *testing.T) {
	double := append(realPlugins(nil), Discovery("pex", pex.Default, pex.New))
	if err := fx.New(Node(quiet(t), double...)).Err(); err == nil ||
		!strings.Contains(err.Error(), `lists the discovery source "pex" twice`) {
		t.Errorf("got %v", err)
	}
	if err := fx.New(Node(quiet(t), Plugin{})).Err(); err == nil {
		t.Error("the zero Plugin was accepted")
	}
	failing := append(realPlugins(nil),
		Discovery("bad", zero[struct{}], func(struct{}, discovery.Env) (discovery.Source, error) {
			return nil, errors.New("no")
		}))
	c := quiet(t)
	c.Discovery = []Table{{"use": "bad"}}
	if err := Run(t.Context(), Node(c, failing...)); err == nil || err.Error() != "discovery source bad: no" {
		t.Errorf("got %v", err)
	}
}

type sourceFunc func(ctx context.Context, n discovery.Network, found func(transport.Address, transport.NodeID)) error

func (f sourceFunc) Run(ctx context.Context, n discovery.Network,
	found func(transport.Address, transport.NodeID)) error {
	return f(ctx, n, found)
}

// TestSourceRestarts shows how a node handles a source that fails: at its start the node ends, later the source runs
// again after a pause.
func TestSourceRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := newMachine("127.0.0.1")
		runs, lives := 0, time.Duration(0)
		flaky := Discovery("flaky", zero[struct{}], func(struct{}, discovery.Env) (discovery.Source, error) {
			return sourceFunc(func(ctx context.Context, n discovery.Network,
				found func(transport.Address, transport.NodeID)) error {
				runs++
				select {
				case <-time.After(lives):
					return errors.New("gone")
				case <-ctx.Done():
					return ctx.Err()
				}
			}), nil
		})
		c := quiet(t)
		c.Discovery = []Table{{"use": "flaky"}}
		if err := Run(t.Context(), Node(c, realPlugins(machine, flaky)...)); err == nil ||
			err.Error() != "flaky: discovery source: gone" {
			t.Errorf("a source that cannot start: %v", err)
		}
		runs, lives = 0, 10*time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// pauses of 1, 2, 4 and 8 s
		if err := Run(ctx, Node(c, realPlugins(machine, flaky)...)); err != nil || runs != 5 {
			t.Errorf("a source that fails every 10 s ran %d times in a minute: %v", runs, err)
		}
	})
}

// TestNodesMeet runs whole nodes that know one address over a network in memory: they find each other.
func TestNodesMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memory.NewNetwork(memory.Config{Conditions: memory.Conditions{Latency: 20 * time.Millisecond}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		hosts := make([]*host.Host, 5)
		seed := ""
		for i := range hosts {
			ip := fmt.Sprintf("10.%d.0.1", i+1)
			machine := network.NewTransport(memory.HostConfig{IP: netip.MustParseAddr(ip)})
			c := quiet(t)
			c.Listen.Addresses = []string{"/ip4/" + ip + "/tcp/26656"}
			if seed != "" {
				c.Peers.Bootstrap = []string{seed}
			}
			up := make(chan struct{})
			wg.Go(func() {
				err := Run(ctx, Node(c, realPlugins(machine)...), fx.Populate(&hosts[i]),
					fx.Invoke(func(lc fx.Lifecycle) {
						lc.Append(fx.StartHook(func() { close(up) }))
					}))
				if err != nil {
					t.Error(err)
				}
			})
			<-up
			if seed == "" {
				seed = fmt.Sprintf("%s@%s:26656", hosts[0].Self(), ip)
			}
		}
		time.Sleep(2 * time.Minute)
		for i, h := range hosts {
			if n := len(h.Peers()); n != len(hosts)-1 {
				t.Errorf("node %d has %d peers, want %d", i, n, len(hosts)-1)
			}
		}
		cancel()
		wg.Wait()
	})
}

// TestEveryOptionReachesItsConsumer changes each key of the configuration and looks for it where it is used. A key
// without a row fails the test.
func TestEveryOptionReachesItsConsumer(t *testing.T) {
	t.Chdir(t.TempDir()) // for configurations without a home
	inHost := func(of func(host.Config) any) func(*testing.T, Config) any {
		return func(t *testing.T, c Config) any {
			h, err := hostConfig(&c, Machine{Memory: 4 << 30, Files: 4096})
			if err != nil {
				t.Fatal(err)
			}
			return of(h)
		}
	}
	build := func(t *testing.T, c Config, target any, more ...Plugin) {
		t.Helper()
		c.Home = t.TempDir()
		if c.Store.Path == Default().Store.Path {
			c.Store.Path = ""
		}
		if err := fx.New(Node(c, realPlugins(nil, more...)...), fx.Populate(target)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	id := transport.NodeID(testID)
	address, err := transport.ParseAddress(testAddr)
	if err != nil {
		t.Fatal(err)
	}
	systems := filepath.Join(t.TempDir(), "systems")
	if err := os.WriteFile(systems, []byte("192.0.2.0/24 AS64496\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type row struct {
		set  string
		at   func(*testing.T, Config) any
		want any
	}
	rows := []row{
		{"network=other", inHost(func(c host.Config) any { return c.Network }), "other"},
		{"moniker=me", inHost(func(c host.Config) any { return c.Moniker }), "me"},
		{"identity.key=other.json", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			key := handshake.NewIdentity([32]byte{9})
			if err := handshake.SaveNodeKey(filepath.Join(c.Home, "other.json"), key); err != nil {
				t.Fatal(err)
			}
			got, err := loadIdentity(&c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			public, _ := got.PublicKey(t.Context())
			return public == key.Public()
		}, true},
		{"listen.addresses=/ip4/127.0.0.1/tcp/7", inHost(func(c host.Config) any { return fmt.Sprint(c.Listen) }),
			"[/ip4/127.0.0.1/tcp/7]"},
		{"listen.external=/ip4/9.9.9.9/tcp/7", inHost(func(c host.Config) any { return fmt.Sprint(c.External) }),
			"[/ip4/9.9.9.9/tcp/7]"},
		{`stack.transports=["other","tcp"]`, func(t *testing.T, c Config) any {
			var got []transport.Transport
			build(t, c, &got, Transport("other", zero[struct{}], func(struct{}) (transport.Transport, error) {
				return namedTransport{tcp.New(tcp.Config{}), "other"}, nil
			}))
			return got[0].Name() + " " + got[1].Name()
		}, "other tcp"},
		{`stack.wires=["other","comet"]`, func(t *testing.T, c Config) any {
			var got []handshake.Wire
			build(t, c, &got, Wire("other", zero[mconn.Config],
				func(mconn.Config, WireEnv) (handshake.Wire, error) { return otherWire{}, nil }))
			return got[0].Name() + " " + got[1].Name()
		}, "other comet"},
		{`stack.security=["tls","noise"]`, func(t *testing.T, c Config) any {
			var got []handshake.Security
			build(t, c, &got)
			return got[0].Name() + " " + got[1].Name()
		}, "tls noise"},
		{`stack.muxers=["other","yamux"]`, func(t *testing.T, c Config) any {
			var got []muxer.StreamMuxer
			build(t, c, &got, Muxer("other", zero[struct{}], func(struct{}, MuxerEnv) (otherMuxer, error) {
				return otherMuxer{}, nil
			}))
			return got[0].Name() + " " + got[1].Name()
		}, "other yamux"},
		{"peers.persistent=" + testAddr, inHost(func(c host.Config) any { return c.Peers.Persistent }),
			[]transport.Address{address}},
		{"peers.unconditional=" + testID, inHost(func(c host.Config) any { return c.Peers.Unconditional }),
			[]transport.NodeID{id}},
		{"peers.private=" + testID, inHost(func(c host.Config) any { return c.Peers.Private }), []transport.NodeID{id}},
		{"peers.allow_networks=192.0.2.0/24", inHost(func(c host.Config) any { return c.Allow }),
			[]peerstore.Target{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}},
		{"peers.allow_guests=" + testID, inHost(func(c host.Config) any { return c.AllowGuests }),
			[]transport.NodeID{id}},
		{"peers.bootstrap=" + testAddr, func(t *testing.T, c Config) any {
			var st peerstore.Store
			build(t, c, &st)
			r, ok := st.Get(id)
			return ok && r.Addresses[0].Source.Kind == "config"
		}, true},
		{"peers.max_outbound=3", inHost(func(c host.Config) any { return c.Peers.MaxOutbound }), 3},
		// none, which is the host's negative
		{"peers.max_outbound=0", inHost(func(c host.Config) any { return c.Peers.MaxOutbound }), -1},
		{"peers.max_inbound=3", inHost(func(c host.Config) any { return c.Peers.MaxInbound }), 3},
		{"peers.max_inbound=0", inHost(func(c host.Config) any { return c.Peers.MaxInbound }), -1},
		{"peers.guests=3", inHost(func(c host.Config) any { return c.Peers.Guests }), 3},
		{"peers.prefer_quic=false", inHost(func(c host.Config) any { return c.MoveTo == nil }), true},
		{"peers.guests=0", inHost(func(c host.Config) any { return c.Peers.Guests }), -1},
		{"peers.max_known=9", func(t *testing.T, c Config) any {
			var st peerstore.Store
			build(t, c, &st)
			for i := range 20 {
				a, err := transport.ParseAddress(fmt.Sprintf("%040x@10.%d.0.1:26656", i+1, i+1))
				if err != nil {
					t.Fatal(err)
				}
				st.Add(a, peerstore.Source{Kind: fmt.Sprint("test", i)}, time.Now())
			}
			return st.Stats().Known
		}, 9},
		{"peers.shared_networks=10.1.0.0/16,192.0.2.1", inHost(func(c host.Config) any {
			return c.Peers.SharedNetworks
		}), []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.1/32")}},
		{"peers.outbound_per_group=3", inHost(func(c host.Config) any { return c.Peers.OutboundPerGroup }), 3},
		{"peers.outbound_per_group=0", inHost(func(c host.Config) any { return c.Peers.OutboundPerGroup }), -1},
		{"peers.anchors=5", inHost(func(c host.Config) any { return c.Peers.Anchors }), 5},
		{"peers.anchors=0", inHost(func(c host.Config) any { return c.Peers.Anchors }), -1},
		{"peers.feeler_interval=7s", inHost(func(c host.Config) any { return c.Peers.Feelers }), 7 * time.Second},
		{"peers.feeler_interval=0s", inHost(func(c host.Config) any { return c.Peers.Feelers }), time.Duration(-1)},
		{"peers.churn_interval=7m", inHost(func(c host.Config) any { return c.Peers.Churn }), 7 * time.Minute},
		{"peers.churn_interval=0s", inHost(func(c host.Config) any { return c.Peers.Churn }), time.Duration(-1)},
		{"peers.as_map=" + systems, func(t *testing.T, c Config) any {
			var st peerstore.Store
			build(t, c, &st)
			return st.Groups().OfIP(netip.MustParseAddr("192.0.2.7")).String()
		}, "AS64496"},
		{"limits.handshakes=77", inHost(func(c host.Config) any { return c.Handshake.Limits.Handshakes }), 77},
		{"limits.handshakes_per_ip=7", inHost(func(c host.Config) any { return c.Handshake.Limits.HandshakesPerIP }),
			7},
		{"limits.attempts_per_ip=7", inHost(func(c host.Config) any { return c.Handshake.Limits.AttemptsPerIP }), 7},
		{"limits.connections_per_ip=7", inHost(func(c host.Config) any { return c.Peers.ConnectionsPerIP }), 7},
		{"limits.connections_per_group=7", inHost(func(c host.Config) any { return c.Peers.ConnectionsPerGroup }), 7},
		{"limits.handshake_timeout=7s", inHost(func(c host.Config) any { return c.Handshake.Timeout }),
			7 * time.Second},
		{"limits.message_memory=7777777", inHost(func(c host.Config) any { return c.Limits.MessageMemory }),
			int64(7777777)},
		{"limits.peer_streams=7", inHost(func(c host.Config) any { return c.Limits.PeerStreams }), 7},
		{"limits.protocol_streams=7", inHost(func(c host.Config) any { return c.Limits.ProtocolStreams }), 7},
		{"discovery.static.addresses=" + `["` + testAddr + `"]`, func(t *testing.T, c Config) any {
			c.Home, c.Store.Path, c.Admin.Address = t.TempDir(), "", ""
			c.Listen.Addresses = nil
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var st peerstore.Store
			var h *host.Host
			found := false
			err := Run(ctx, Node(c, realPlugins(nil)...), fx.Populate(&st, &h), fx.Invoke(func(lc fx.Lifecycle) {
				lc.Append(fx.StartHook(func() {
					for !found && ctx.Err() == nil { // another goroutine adds it
						_, found = st.Get(id)
					}
					cancel()
				}))
			}))
			if err != nil {
				t.Fatal(err)
			}
			return found
		}, true},
		{"services.echo.enabled=true", func(t *testing.T, c Config) any {
			var h *host.Host
			build(t, c, &h)
			_, err := h.OpenChannel(muxer.Channel{ID: echo.ChannelID})
			return err != nil // the service has it
		}, true},
		{"store.path=here/peers", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			st, err := OpenStore(&c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			_, err = os.Stat(filepath.Join(c.Home, "here", "peers"))
			return err
		}, nil},
		{"admin.address=127.0.0.1:7", func(_ *testing.T, c Config) any { return adminConfig(&c).Address },
			"127.0.0.1:7"},
		{"admin.pprof=true", func(_ *testing.T, c Config) any { return adminConfig(&c).Profile }, true},
		{"transports.tcp.keep_alive=7s", inTCP(func(c tcp.Config) any { return c.KeepAlive }), 7 * time.Second},
		{"transports.tcp.proxy=127.0.0.1:9050", inTCP(func(c tcp.Config) any { return c.Proxy }), "127.0.0.1:9050"},
		{"transports.tcp.proxy_all=true", func(t *testing.T, c Config) any {
			c.Transports["tcp"]["proxy"] = "127.0.0.1:9050" // it needs one
			return inTCP(func(c tcp.Config) any { return c.ProxyAll })(t, c)
		}, true},
		{"wires.comet.ping_interval=7s", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			var got mconn.Config
			spy := Wire("comet", zero[mconn.Config], func(c mconn.Config, env WireEnv) (handshake.Wire, error) {
				got = c
				return stock.Comet(c, env.MessageMemory, env.Identity, env.Logger)
			})
			var built []handshake.Wire
			if err := fx.New(Base(c), Handshake(c, spy), fx.Populate(&built)).Err(); err != nil {
				t.Fatal(err)
			}
			return got.PingInterval
		}, 7 * time.Second},
		{"muxers.yamux.max_streams=7", func(t *testing.T, c Config) any {
			var got yamux.Config
			spy := Muxer("yamux", zero[yamux.Config], func(c yamux.Config, _ MuxerEnv) (*yamux.Muxer, error) {
				got = c
				return yamux.New(c)
			})
			var built []muxer.StreamMuxer
			if err := fx.New(Base(c), Handshake(c, spy), fx.Populate(&built)).Err(); err != nil {
				t.Fatal(err)
			}
			return got.MaxStreams
		}, 7},
		{"security.tls.post_quantum=false", func(t *testing.T, c Config) any {
			got := stock.DefaultTLS()
			spy := Security("tls", stock.DefaultTLS, func(c stock.TLSConfig) (handshake.Security, error) {
				got = c
				return stock.TLS(c)
			})
			var built []handshake.Security
			if err := fx.New(Base(c), Handshake(c, spy), fx.Populate(&built)).Err(); err != nil {
				t.Fatal(err)
			}
			return got.PostQuantum
		}, false},
	}
	for key, of := range map[string]func(SignerEnv) string{
		"signer":      func(e SignerEnv) string { return e.Address.Host },
		"signer_ca":   func(e SignerEnv) string { return e.CA },
		"signer_cert": func(e SignerEnv) string { return e.Cert },
		"signer_key":  func(e SignerEnv) string { return e.Key },
	} {
		want := "/other.pem"
		if key == "signer" {
			want = "other:1"
		}
		set := "identity." + key + "=" + strings.Replace(want, "other:", "tls://other:", 1)
		rows = append(rows, row{set, func(t *testing.T, c Config) any {
			c.Identity.Signer = cmp.Or(c.Identity.Signer, "tls://host:1")
			var got SignerEnv
			_, err := c.OpenSigner(nil, Signer(func(env SignerEnv) (SignerConn, error) {
				got = env
				return nil, errors.New("not today")
			}))
			if err == nil {
				t.Error("it opens")
			}
			return of(got)
		}, want})
	}
	covered := map[string]bool{}
	for _, tt := range rows {
		key, _, _ := strings.Cut(tt.set, "=")
		for k := key; k != ""; k = parent(k) {
			covered[k] = true
		}
		t.Run(tt.set, func(t *testing.T) {
			c := Default()
			if err := c.Set(tt.set); err != nil {
				t.Fatal(err)
			}
			if got := tt.at(t, c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("its consumer has %#v, want %#v", got, tt.want)
			}
		})
	}
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for f := range fields(of) {
			key := join(prefix, keyOf(f))
			if f.Type.Kind() == reflect.Struct {
				walk(key, f.Type)
			} else if !covered[key] {
				t.Errorf("no row shows that %s reaches its consumer", key)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}

func parent(key string) string {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return ""
	}
	return key[:i]
}

type otherWire struct{ handshake.Wire }

func (otherWire) Name() string { return "other" }

type otherMuxer struct{ muxer.StreamMuxer }

func (otherMuxer) Name() string     { return "other" }
func (otherMuxer) Protocol() string { return "/other" }

// TestSecuritiesAreShared shows that all parts of a node share one instance of a security, and that a transport finds
// those that [stack] leaves out.
func TestSecuritiesAreShared(t *testing.T) {
	c := quiet(t)
	c.Stack.Transports, c.Stack.Security = []string{"tcp", "secure"}, []string{"tls"}
	var inside, left handshake.Security
	var failed error
	var identity handshake.Identity
	list := realPlugins(nil, SecureTransport("secure", zero[struct{}],
		func(_ struct{}, env TransportEnv) (transport.Transport, error) {
			inside, _ = env.Security("tls")
			left, _ = env.Security("noise")
			_, failed = env.Security("nois")
			identity = env.Identity
			return namedTransport{tcp.New(tcp.Config{}), "secure"}, nil
		}))
	var chosen []handshake.Security
	var id handshake.Identity
	var transports []transport.Transport
	if err := fx.New(Node(c, list...), fx.Populate(&chosen, &id, &transports)).Err(); err != nil {
		t.Fatal(err)
	}
	if len(chosen) != 1 || chosen[0] != inside || inside.Name() != "tls" || left.Name() != "noise" || identity != id {
		t.Errorf("the node has %v, the transport %v, %v, %v", chosen, inside, left, identity)
	}
	if failed == nil || failed.Error() != "this build has no such security (did you mean noise?)" {
		t.Errorf("an unknown one: %v", failed)
	}
}

// TestMessageMemoryReachesSessions shows that limits.message_memory reaches all that makes sessions.
func TestMessageMemoryReachesSessions(t *testing.T) {
	c := quiet(t)
	c.Limits.MessageMemory = 77 << 20
	c.Stack.Transports, c.Stack.Wires, c.Stack.Muxers = []string{"secure"}, []string{"wire", "streams"}, []string{"mux"}
	var got [4]int64
	list := realPlugins(nil,
		SecureTransport("secure", zero[struct{}], func(_ struct{}, env TransportEnv) (transport.Transport, error) {
			got[0] = env.MessageMemory
			return namedTransport{tcp.New(tcp.Config{}), "secure"}, nil
		}),
		Wire("wire", zero[struct{}], func(_ struct{}, env WireEnv) (handshake.Wire, error) {
			got[1] = env.MessageMemory
			return otherWire{}, nil
		}),
		StreamWire("streams", zero[struct{}], func(_ struct{}, env WireEnv) (handshake.Wire, error) {
			got[2] = env.MessageMemory
			return otherWire{}, nil
		}),
		Muxer("mux", zero[struct{}], func(_ struct{}, env MuxerEnv) (otherMuxer, error) {
			got[3] = env.MessageMemory
			return otherMuxer{}, nil
		}))
	var wires []handshake.Wire
	var transports []transport.Transport
	if err := fx.New(Base(c), Transports(c, list...), Handshake(c, list...),
		fx.Populate(&wires, &transports)).Err(); err != nil {
		t.Fatal(err)
	}
	if want := c.Limits.MessageMemory; got != [4]int64{want, want, want, want} {
		t.Errorf("they get %d, want %d", got, want)
	}
}

// TestAbsentServiceWarns shows that the log warns of a service that this build lacks, unless it is off.
func TestAbsentServiceWarns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "[services.relay]\nenabled = true": 1, "[services.relay]": 1,
		"[services.relay]\nenabled = false": 0} {
		c, err := Parse("config.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.Home, c.Store.Path, c.Admin.Address = t.TempDir(), "", ""
		var log bytes.Buffer
		logger := fx.Supply(slog.New(slog.NewTextHandler(&log, nil)))
		if err := fx.New(Node(c, realPlugins(nil, AbsentService("relay"))...), logger).Err(); err != nil {
			t.Fatal(err)
		}
		const warning = "config.toml:1: services.relay: this build has no such service"
		if got := strings.Count(log.String(), warning); got != want {
			t.Errorf("%q: %d warnings, want %d:\n%s", text, got, want, log.String())
		}
	}
}

// TestAdminAnswers shows the admin API of a whole node.
func TestAdminAnswers(t *testing.T) {
	c := quiet(t)
	c.Admin.Address, c.Version = "127.0.0.1:0", "switchyard/test"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Run(ctx, Node(c, realPlugins(nil)...), fx.Invoke(func(lc fx.Lifecycle, a *admin.Server, h *host.Host) {
		lc.Append(fx.StartHook(func() error {
			defer cancel()
			client, err := admin.NewClient(a.Addr().String())
			if err != nil {
				return err
			}
			s, err := client.Status(ctx)
			if err != nil || s.NodeID != h.Self() || s.Version != c.Version || len(s.Listen) != 1 {
				return fmt.Errorf("status %+v, %w", s, err)
			}
			resp, err := http.Get("http://" + a.Addr().String() + "/metrics")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			defer http.DefaultClient.CloseIdleConnections()
			if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "go_goroutines") {
				return fmt.Errorf("metrics: %.200s, %w", text, err)
			}
			return nil
		}))
	}))
	if err != nil {
		t.Error(err)
	}
}

// inTCP builds the TCP transport with a configuration and returns what get finds in its settings.
func inTCP(get func(tcp.Config) any) func(*testing.T, Config) any {
	return func(t *testing.T, c Config) any {
		var got tcp.Config
		spy := Transport("tcp", zero[tcp.Config], func(c tcp.Config) (transport.Transport, error) {
			got = c
			return tcp.New(c), nil
		})
		var built []transport.Transport
		if err := fx.New(Base(c), Transports(c, spy), fx.Populate(&built)).Err(); err != nil {
			t.Fatal(err)
		}
		return get(got)
	}
}
