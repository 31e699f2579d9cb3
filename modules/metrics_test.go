package modules

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
)

// gathered are the names in a registry, with the label "node" of those that have one.
func gathered(t *testing.T, r prometheus.Gatherer) []string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			if l.GetName() == "node" {
				out = append(out, f.GetName()+" of "+l.GetValue())
			}
		}
		out = append(out, f.GetName())
	}
	return out
}

// A program's registry, or its Registerer, takes all metrics of a node. Two nodes share one with a label each.
func TestProgramsMetrics(t *testing.T) {
	all := []string{"switchyard_peers", "switchyard_build_info", "switchyard_known_peers", "go_goroutines",
		"process_open_fds", "talks_total"}
	node := func(more ...fx.Option) error {
		var h *host.Host
		app := fx.New(Node(quiet(t), realPlugins(nil, talkerPlugin("one", "talks_total"))...), fx.Options(more...),
			fx.Populate(&h))
		return app.Err()
	}
	labelled := func(registry prometheus.Registerer, name string) fx.Option {
		r := prometheus.WrapRegistererWith(prometheus.Labels{"node": name}, registry)
		return fx.Supply(fx.Annotate(r, fx.As(new(prometheus.Registerer))))
	}
	has := func(r prometheus.Gatherer, suffix string) {
		t.Helper()
		names := gathered(t, r)
		for _, want := range all {
			if want == "switchyard_peers" {
				continue // there are none
			}
			if !slices.Contains(names, want+suffix) {
				t.Errorf("no %s among %s", want+suffix, names)
			}
		}
	}

	replaced := prometheus.NewRegistry()
	if err := node(fx.Replace(replaced)); err != nil {
		t.Fatal(err)
	}
	has(replaced, "")
	if err := node(fx.Replace(replaced)); err == nil || !strings.Contains(err.Error(), "a label of its own") {
		t.Errorf("two nodes on one registry: %v", err)
	}

	shared := prometheus.NewRegistry()
	for _, name := range []string{"a", "b"} {
		if err := node(labelled(shared, name)); err != nil {
			t.Fatal(err)
		}
	}
	has(shared, " of a")
}
