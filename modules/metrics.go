package modules

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/fx"
)

// Metrics is the module of the node's *prometheus.Registry: its own, so that two nodes in a process do not share
// counters. A program that has a registry puts it in place of that with fx.Replace. One that wants the metrics under
// other names or with labels supplies a prometheus.Registerer beside it: all metrics go there then. The admin API shows
// what the registry gathers.
func Metrics(Config) fx.Option {
	return fx.Module("metrics",
		fx.Provide(prometheus.NewRegistry, newMetrics),
		fx.Invoke(func(m metrics) error {
			// The program may count these already.
			return m.register(true, collectors.NewGoCollector(),
				collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		}))
}

// metrics are where a node's metrics go, and where they are read.
type metrics struct {
	prometheus.Registerer
	prometheus.Gatherer
}

func newMetrics(in struct {
	fx.In
	Registry   *prometheus.Registry
	Registerer prometheus.Registerer `optional:"true"`
}) metrics {
	m := metrics{in.Registry, in.Registry}
	if in.Registerer != nil {
		m.Registerer = in.Registerer
	}
	return m
}

// register adds collectors, if there is anywhere to add them. With shared one that is there already is no error.
func (m metrics) register(shared bool, list ...prometheus.Collector) error {
	if m.Registerer == nil {
		return nil
	}
	for _, c := range list {
		err := m.Registerer.Register(c)
		if _, there := errors.AsType[prometheus.AlreadyRegisteredError](err); there && shared {
			continue
		}
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}
