package docs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// metric is what a collector describes.
type metric struct{ name, help, labels string }

// described is a registry that keeps the descriptions of what it gets.
type described struct {
	*prometheus.Registry
	mu   sync.Mutex
	list []*prometheus.Desc
}

// Register implements prometheus.Registerer.
func (d *described) Register(c prometheus.Collector) error {
	to := make(chan *prometheus.Desc)
	go func() {
		c.Describe(to)
		close(to)
	}()
	for desc := range to {
		d.mu.Lock()
		d.list = append(d.list, desc)
		d.mu.Unlock()
	}
	return d.Registry.Register(c)
}

// MustRegister implements prometheus.Registerer.
func (d *described) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

// descText is the form of a description's text.
var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?` +
	`constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// inProcess is a signer in the process of its node.
type inProcess struct{ keeper *signer.Keeper }

func (s inProcess) Describe(context.Context) (signer.Description, error) {
	return s.keeper.Describe(), nil
}
func (s inProcess) Ready(context.Context) error { return nil }
func (s inProcess) Close() error                { return nil }
func (s inProcess) Sign(ctx context.Context, r signer.Request) ([]byte, error) {
	return s.keeper.Sign(ctx, r)
}

// metrics returns what a node with every stock plug-in has, in order of name, without those of Go and the process.
func metrics(t *testing.T) []metric {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := signer.NewKeeper(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	plugins := modules.With(standard.Plugins(),
		modules.Signer(func(modules.SignerEnv) (modules.SignerConn, error) { return inProcess{keeper}, nil }))
	cfg := modules.Default()
	cfg.Home = t.TempDir()
	cfg.Identity.Signer = "unix://" + cfg.Home + "/unused"
	cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	cfg.Admin.Address = "127.0.0.1:0"
	for _, p := range plugins {
		if slices.Contains([]string{"echo", "relay", "chain"}, p.Name()) {
			cfg.Services[p.Name()] = modules.Table{"enabled": true}
		}
	}
	registry := &described{Registry: prometheus.NewRegistry()}
	app := fx.New(modules.Node(cfg, plugins...), fx.Supply(slog.New(slog.DiscardHandler)),
		fx.Supply(fx.Annotate(registry, fx.As(new(prometheus.Registerer)))))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	found := map[string]metric{}
	for _, d := range registry.list {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if !strings.HasPrefix(m[1], "switchyard_") {
			continue
		}
		help := strings.Trim(strings.ReplaceAll(m[2], `\"`, `"`), `"`)
		found[m[1]] = metric{m[1], help, strings.ReplaceAll(m[3], ",", ", ")}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b metric) int { return cmp.Compare(a.name, b.name) })
}

// namedMetric matches a metric that a document names.
var namedMetric = regexp.MustCompile(`\bswitchyard_[a-z][a-z0-9_]*[a-z0-9]`)

// docs/metrics.md lists the metrics of a node; no document names another one.
func TestMetrics(t *testing.T) {
	all := metrics(t)
	var table strings.Builder
	table.WriteString("| metric | labels | what |\n|---|---|---|\n")
	known := map[string]bool{}
	for _, m := range all {
		known[m.name] = true
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", m.name, m.labels, strings.ReplaceAll(m.help, "|", "\\|"))
	}
	generated(t, "docs/metrics.md", "metrics", table.String())
	for _, p := range pages(t) {
		if p.path == "docs/libp2p-programs.md" {
			continue // modules/golibp2p/services checks its own
		}
		for _, name := range namedMetric.FindAllString(p.text, -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if !known[base] {
					base = strings.TrimSuffix(name, suffix)
				}
			}
			if !known[base] && !notMetrics[name] {
				t.Errorf("%s names %s, and no node has that metric", p.path, name)
			}
		}
	}
}

// notMetrics look like metrics.
var notMetrics = map[string]bool{}
