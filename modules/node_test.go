package modules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
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
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/internal/stock"
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
