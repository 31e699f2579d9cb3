package modules

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestWithAndWithout(t *testing.T) {
	stock := []Plugin{Discovery("a", zero[struct{}], nil), service("a", nil), service("b", nil)}
	more := With(stock, service("c", nil), service("b", nil).OnByDefault(), Command(CommandSpec{Name: "a"}))
	var got []string
	for _, p := range more {
		got = append(got, string(p.kind)+" "+p.name)
	}
	want := []string{"discovery source a", "service a", "service b", "service c", "command a"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := checkCatalogue(more); err != nil {
		t.Error(err)
	}
	if left := Without(more, "a", "c"); len(left) != 1 || left[0].name != "b" || len(more) != 5 || len(stock) != 3 {
		t.Errorf("%d are left of %d", len(left), len(more))
	}
	if c := Commands(more); len(c) != 1 || c[0].Name != "a" {
		t.Errorf("commands: %v", c)
	}
}

// talker is a service that adds to its node.
type talker struct{ count prometheus.Counter }

func (talker) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s talker) routes() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.count.Inc()
		_, _ = io.WriteString(w, r.URL.Path)
	})
}

func (s talker) metrics() []prometheus.Collector { return []prometheus.Collector{s.count} }

func talkerPlugin(name, metric string) Plugin {
	build := func(struct{}, *host.Host, *slog.Logger) (talker, error) {
		return talker{prometheus.NewCounter(prometheus.CounterOpts{Name: metric})}, nil
	}
	return Service(name, zero[struct{}], build, WithRoutes(talker.routes), WithMetrics(talker.metrics)).OnByDefault()
}

// TestExtras runs a node whose service has a route and a metric, and which an extension gives another identity.
func TestExtras(t *testing.T) {
	c := quiet(t)
	c.Home, c.Admin.Address = filepath.Join(c.Home, "not", "there"), "127.0.0.1:0"
	key := handshake.NewIdentity([32]byte{9})
	list := realPlugins(nil, talkerPlugin("talker", "talks_total"),
		Command(CommandSpec{Name: "talk"}),
		Extend("key", func(Config) fx.Option { return fx.Decorate(func() handshake.Identity { return key }) }))
	var api *admin.Server
	var h *host.Host
	get := func(path string) string {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := client.Get("http://" + api.Addr().String() + path)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return string(body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, Node(c, list...), fx.Populate(&api, &h), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StartHook(func() {
			if got := get("/v1/services/talker/some/path"); got != "/some/path" {
				t.Errorf("the route answers %q", got)
			}
			if got := get("/metrics"); !strings.Contains(got, "\ntalks_total 1\n") {
				t.Errorf("the metrics are %s", got)
			}
			cancel()
		}))
	}))
	if err != nil || h.Self() != key.ID() {
		t.Errorf("ran as %s: %v", h.Self(), err)
	}
	if made, err := os.Stat(c.Home); err != nil || made.Mode().Perm() != 0o700 {
		t.Errorf("the home folder: %v, %v", made, err)
	}
}

// TestMetricsTwice: a service whose metrics are another's does not start.
func TestMetricsTwice(t *testing.T) {
	list := realPlugins(nil, talkerPlugin("one", "talks_total"), talkerPlugin("two", "talks_total"))
	err := Run(t.Context(), Node(quiet(t), list...))
	if err == nil || !strings.HasPrefix(err.Error(), "service two: metrics: ") {
		t.Errorf("got %v", err)
	}
}

// TestRenderShowsDefaults: a rendered file names the keys of plug-ins that are not set, with their defaults.
func TestRenderShowsDefaults(t *testing.T) {
	type config struct {
		Greeting string
		Every    time.Duration
		Most     int
		Names    []string // too much for a line
		Hidden   func()
	}
	defaults := func() config { return config{"hello", 5 * time.Second, 3, nil, nil} }
	list := []Plugin{Service("greeter", defaults, func(config, *host.Host, *slog.Logger) (talker, error) {
		return talker{}, nil
	})}
	c := Default()
	c.Services["greeter"] = Table{"most": int64(4)}
	text := string(Render(c, list...))
	const want = "\n[services.greeter]\nenabled = false\nmost = 4\n# greeting = \"hello\"\n# every = \"5s\"\n\n"
	if !strings.Contains(text, want) {
		t.Fatalf("no %q in\n%s", want, text)
	}
	set, err := Parse("config.toml", []byte(strings.ReplaceAll(text, "\n# greeting", "\ngreeting")))
	if err != nil || set.Services["greeter"]["greeting"] != "hello" {
		t.Errorf("%v, %v", set.Services, err)
	}
}

// A function in the value group "tune" sees the host's settings as they are, and changes them.
func TestTune(t *testing.T) {
	var network string
	list := realPlugins(nil, Extend("tune", func(Config) fx.Option {
		return fx.Provide(fx.Annotate(func() func(*host.Config) {
			return func(c *host.Config) { network, c.Network = c.Network, "" }
		}, fx.ResultTags(`group:"tune"`)))
	}))
	c := quiet(t)
	err := Run(t.Context(), Node(c, list...))
	if err == nil || !strings.Contains(err.Error(), "network") || network != c.Network {
		t.Errorf("network %q: %v", network, err)
	}
}

// shared is a part of the graph that an extension provides.
type shared struct{ built int }

// keeper is a service that is built from it.
type keeper struct{ part *shared }

func (*keeper) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// optionalKeeper is what a source asks the graph for.
type optionalKeeper struct {
	fx.In
	Part   *shared
	Keeper *keeper `optional:"true"`
}

// sharedPlugins are a service and a source that share a part. The source tells which it got.
func sharedPlugins(part *shared, got func(optionalKeeper)) []Plugin {
	return []Plugin{
		Extend("shared", func(Config) fx.Option {
			return fx.Provide(func(*host.Host) *shared { part.built++; return part })
		}),
		ServiceFrom("keeper", zero[struct{}], func(_ struct{}, p *shared, _ *slog.Logger) (*keeper, error) {
			return &keeper{p}, nil
		}),
		DiscoveryFrom("kept", zero[struct{}],
			func(_ struct{}, p optionalKeeper, env discovery.Env) (discovery.Source, error) {
				if p.Keeper == nil {
					return nil, errors.New("set services.keeper.enabled = true")
				}
				got(p)
				return sourceFunc(func(ctx context.Context, _ discovery.Network,
					_ func(transport.Address, transport.NodeID)) error {
					<-ctx.Done()
					return nil
				}), nil
			}),
	}
}

// A service and a source share a part of the graph, the source gets the service, and so does the program.
func TestSharedParts(t *testing.T) {
	part := &shared{}
	var source optionalKeeper
	list := realPlugins(nil, sharedPlugins(part, func(p optionalKeeper) { source = p })...)
	c := quiet(t)
	c.Discovery = []Table{{"use": "kept"}}
	c.Services["keeper"] = Table{"enabled": true}
	var k *keeper
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, Node(c, list...), fx.Populate(&k), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StartHook(cancel))
	}))
	if err != nil || k == nil || source.Keeper != k || source.Part != part || k.part != part || part.built != 1 {
		t.Errorf("%v: the program has %p, the source %+v; the part was built %d times", err, k, source, part.built)
	}
	c.Services["keeper"] = Table{"enabled": false}
	err = Run(t.Context(), Node(c, list...))
	if err == nil || err.Error() != "discovery source kept: set services.keeper.enabled = true" {
		t.Errorf("without the service: %v", err)
	}
}
