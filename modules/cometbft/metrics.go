package cometbft

import (
	"reflect"
	"regexp"
	"sync"

	"github.com/cometbft/cometbft/p2p"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metricsOf returns the metrics that a Switch was made with, so that CometBFT's p2p_ figures keep flowing. The field is
// private; if a later CometBFT has no such field, there are none.
func metricsOf(sw *p2p.Switch) *p2p.Metrics {
	f := reflect.ValueOf(sw).Elem().FieldByName("metrics")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*p2p.Metrics]() || f.IsNil() {
		return p2p.NopMetrics()
	}
	return (*p2p.Metrics)(f.UnsafePointer())
}

// exported is CometBFT's registry, whose figures its /metrics has, and which outlives Switchyard.
type exported struct {
	mu   sync.Mutex
	list []prometheus.Collector // of Switchyard
}

// Register implements prometheus.Registerer.
func (e *exported) Register(c prometheus.Collector) error {
	if err := prometheus.DefaultRegisterer.Register(c); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (e *exported) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		if err := e.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (*exported) Unregister(c prometheus.Collector) bool {
	return prometheus.DefaultRegisterer.Unregister(c)
}

// Gather implements prometheus.Gatherer, for Switchyard's admin API.
func (*exported) Gather() ([]*dto.MetricFamily, error) { return prometheus.DefaultGatherer.Gather() }

// withdraw takes all collectors out of CometBFT's registry.
func (e *exported) withdraw() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.list {
		prometheus.DefaultRegisterer.Unregister(c)
	}
	e.list = nil
}

// count holds the counters of one yard, so that their labels are looked up once.
type count struct {
	sent, received sync.Map // label of a message type -> counter
}

func (y *yard) countSent(p *peer, ch byte, label string, n int) {
	counterOf(&y.count.sent, label, y.metrics.MessageSendBytesTotal).Add(float64(n))
	y.countPeer(p, ch, true, n)
}

func (y *yard) countReceived(p *peer, ch byte, label string, n int) {
	counterOf(&y.count.received, label, y.metrics.MessageReceiveBytesTotal).Add(float64(n))
	y.countPeer(p, ch, false, n)
}

// counter is a counter of CometBFT's metrics, whose package depends on the version.
type counter interface{ Add(float64) }

func counterOf[C interface {
	counter
	With(labels ...string) C
}](known *sync.Map, label string, all C) counter {
	if c, ok := known.Load(label); ok {
		return c.(counter)
	}
	c, _ := known.LoadOrStore(label, all.With("message_type", label))
	return c.(counter)
}

// labels has the label of each type of message.
var labels sync.Map // reflect.Type -> string

// typeName takes the name of a package and of a type in it apart, as CometBFT does (p2p/metrics.go).
var typeName = regexp.MustCompile(`\*?(\w+)\.(.*)`)

// labelOf returns the label of a message in CometBFT's metrics, such as consensus_Vote.
func labelOf(msg any) string {
	t := reflect.TypeOf(msg)
	if l, ok := labels.Load(t); ok {
		return l.(string)
	}
	l := t.String()
	if parts := typeName.FindStringSubmatch(l); parts != nil {
		l = parts[1] + "_" + parts[2]
	}
	labels.Store(t, l)
	return l
}
