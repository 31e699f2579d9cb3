package host

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// totals holds the counters of links that have ended. mu also guards link.counted, so that a scrape sees each link
// once: as a running one or in the totals.
type totals struct {
	mu sync.Mutex
	linkStats
}

// linkStats are the counters of several links.
type linkStats struct {
	muxer.Stats
	channels map[byte]muxer.ChannelStats // by id
}

// add adds the counters of a link.
func (sum *linkStats) add(l *link) {
	s := l.session.Stats()
	sum.SentBytes += s.SentBytes
	sum.ReceivedBytes += s.ReceivedBytes
	sum.SentMessages += s.SentMessages
	sum.ReceivedMessages += s.ReceivedMessages
	sum.Dropped += s.Dropped
	if sum.channels == nil {
		sum.channels = map[byte]muxer.ChannelStats{}
	}
	for _, c := range l.session.ChannelStats() {
		s := sum.channels[c.ID]
		s.SentBytes += c.SentBytes
		s.ReceivedBytes += c.ReceivedBytes
		s.SentMessages += c.SentMessages
		s.ReceivedMessages += c.ReceivedMessages
		s.SendQueue += c.SendQueue
		sum.channels[c.ID] = s
	}
}

// sum returns what went over all links of a host so far, and what waits to be sent.
func (t *totals) sum(h *Host) linkStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := linkStats{t.Stats, maps.Clone(t.channels)}
	for id, s := range sum.channels {
		s.SendQueue = 0 // of links that have ended
		sum.channels[id] = s
	}
	h.links.all.Range(func(_, v any) bool {
		if l := v.(*link); !l.counted {
			sum.add(l)
		}
		return true
	})
	return sum
}

// collector reads the node's counters when it is scraped, so that no message pays for a metric.
type collector struct {
	h    *Host
	mu   sync.Mutex
	seen map[linkKind]bool // so that a gauge does not vanish with the last link of its kind

	health atomic.Pointer[Health] // once the host reports to its log
	held   map[[2]string]bool     // findings that have held: code and severity; guarded by mu
}

// metricsError explains why a registry refuses a host's metrics.
func metricsError(err error) error {
	if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return fmt.Errorf("metrics: the registry has those of another host: give each host a label of its own "+
			"(prometheus.WrapRegistererWith): %w", err)
	}
	return fmt.Errorf("metrics: %w", err)
}

// linkKind is the labels of switchyard_peers.
type linkKind struct{ direction, wire, transport, security, muxer string }

// times are the histograms.
type times struct {
	handshakes *prometheus.HistogramVec
	roundTrips prometheus.Histogram
}

func newTimes(wires []handshake.Wire) times {
	t := times{
		handshakes: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "switchyard_handshake_seconds",
			Help:    "Durations of handshakes that worked, all stages together, with the dial.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"direction", "wire"}),
		roundTrips: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "switchyard_round_trip_seconds",
			Help:    "Round trips of links, each as it was last measured, every 30 s at most.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
	}
	for _, w := range wires {
		for _, inbound := range [...]bool{false, true} {
			t.handshakes.WithLabelValues(direction(inbound), w.Name())
		}
	}
	return t
}

// handshake notes how long the handshake of a link took.
func (t *times) handshake(l *link) {
	var took time.Duration
	for _, s := range l.shake.Stages {
		took += s.Took
	}
	t.handshakes.WithLabelValues(direction(l.inbound), l.shake.Wire).Observe(took.Seconds())
}

func direction(inbound bool) string {
	if inbound {
		return "inbound"
	}
	return "outbound"
}

var (
	descPeers = prometheus.NewDesc("switchyard_peers", "Links that are up.",
		[]string{"direction", "wire", "transport", "security", "muxer"}, nil)
	descBytes = prometheus.NewDesc("switchyard_bytes_total", "Bytes over all links since the start.",
		[]string{"direction"}, nil)
	descMessages = prometheus.NewDesc("switchyard_messages_total", "Messages over all links since the start.",
		[]string{"direction"}, nil)
	descDropped = prometheus.NewDesc("switchyard_messages_dropped_total",
		"Messages dropped: by a full inbox of ours, or because a peer's send queue was full.",
		[]string{"channel", "why"}, nil)
	descWaiting = prometheus.NewDesc("switchyard_message_memory_bytes", "Bytes of messages that wait for services.",
		nil, nil)
	descPauses = prometheus.NewDesc("switchyard_link_pauses_total",
		"Times that a link was paused because a service was slow.", nil, nil)
	descRefused = prometheus.NewDesc("switchyard_refused_total",
		"Inbound connections refused or failed before they became links.", []string{"stage", "cause", "limit"}, nil)
	descFailed = prometheus.NewDesc("switchyard_dial_failures_total",
		"Dials of addresses that brought no link.", []string{"stage", "cause", "limit"}, nil)
	descQuarantined = prometheus.NewDesc("switchyard_quarantined_peers",
		"Peers that are neither dialed nor advertised for a while, such as those of another network.", nil, nil)
	descDown  = prometheus.NewDesc("switchyard_trusted_peers_down", "Trusted peers without a link.", nil, nil)
	descBuild = prometheus.NewDesc("switchyard_build_info", "1, with the versions of the program and of Go.",
		[]string{"version", "go_version"}, nil)
	descStreams = prometheus.NewDesc("switchyard_streams", "Streams that peers have open with our handlers.",
		[]string{"protocol"}, nil)
	descServed = prometheus.NewDesc("switchyard_streams_total",
		"Streams that peers have opened with our handlers, or tried to beyond a limit.",
		[]string{"protocol", "outcome"}, nil)
	descFeelers = prometheus.NewDesc("switchyard_feelers_total", "Short dials that only tested an address.",
		[]string{"outcome"}, nil)
	descEvicted = prometheus.NewDesc("switchyard_evictions_total", "Links that the peer manager ended, by cause.",
		[]string{"cause"}, nil)
	descMoves = prometheus.NewDesc("switchyard_moves_total",
		"Links that have moved to a better wire, have failed to, or have lost messages when they moved.",
		[]string{"outcome"}, nil)
	descBans  = prometheus.NewDesc("switchyard_bans", "Bans that hold.", nil, nil)
	descKnown = prometheus.NewDesc("switchyard_known_peers", "Peers in the store.", []string{"state"}, nil)

	descStoreErrors = prometheus.NewDesc("switchyard_store_errors_total",
		"Times that the disk did not take what the peer store was to write.", nil, nil)
	descFindings = prometheus.NewDesc("switchyard_findings",
		"1 for each finding about the node that holds (docs/reasons.md), 0 when it does not any more.",
		[]string{"code", "severity"}, nil)
	descForgotten = prometheus.NewDesc("switchyard_forgotten_peers_total",
		"Peers that the store forgot, as they did not answer while others did.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descPeers, descBytes, descMessages, descDropped, descWaiting, descPauses,
		descRefused, descFailed, descQuarantined, descDown, descBuild, descStreams, descServed, descFeelers,
		descEvicted, descMoves, descBans, descKnown, descForgotten, descChannelBytes, descChannelMessages,
		descChannelQueued, descStoreErrors, descFindings} {
		ch <- d
	}
	c.h.times.handshakes.Describe(ch)
	c.h.times.roundTrips.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	h := c.h
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	counts := map[linkKind]int{}
	sum := h.totals.sum(h)
	h.links.eachUp(func(l *link) {
		inbound := l.inbound
		if p := l.peering.Load(); p != nil {
			inbound = p.inbound
		}
		counts[linkKind{direction(inbound), l.shake.Wire, l.shake.Transport, l.shake.Security, l.shake.Muxer}]++
	})
	c.mu.Lock()
	for k := range counts {
		c.seen[k] = true
	}
	for k := range c.seen {
		gauge(descPeers, float64(counts[k]), k.direction, k.wire, k.transport, k.security, k.muxer)
	}
	c.mu.Unlock()
	counter(descBytes, sum.SentBytes, "sent")
	counter(descBytes, sum.ReceivedBytes, "received")
	counter(descMessages, sum.SentMessages, "sent")
	counter(descMessages, sum.ReceivedMessages, "received")
	c.collectChannels(sum.channels, ch)
	gauge(descWaiting, float64(h.memory.used.Load()))
	counter(descPauses, h.pauses.Load())
	h.outcomes.mu.Lock()
	for o, n := range h.outcomes.refused {
		counter(descRefused, n, o.stage, o.cause, o.limit)
	}
	for o, n := range h.outcomes.failed {
		counter(descFailed, n, o.stage, o.cause, o.limit)
	}
	h.outcomes.mu.Unlock()
	gauge(descQuarantined, float64(len(h.peers.Quarantined())))
	gauge(descDown, float64(len(h.peers.Down())))
	gauge(descBuild, 1, h.cfg.Version, runtime.Version())
	h.times.handshakes.Collect(ch)
	h.times.roundTrips.Collect(ch)
	for _, s := range h.streams.all() {
		gauge(descStreams, float64(s.open.Load()), s.protocol)
		counter(descServed, s.served.Load(), s.protocol, "served")
		counter(descServed, s.refused.Load(), s.protocol, "refused")
	}
	tally := h.peers.Tally()
	counter(descFeelers, tally.FeelersWorked, "worked")
	counter(descFeelers, tally.FeelersFailed, "failed")
	for cause, n := range tally.Evicted {
		counter(descEvicted, n, cause)
	}
	counter(descMoves, h.moves.moved.Load(), "moved")
	counter(descMoves, h.moves.failed.Load(), "failed")
	counter(descMoves, h.moves.lost.Load(), "lost")
	st := peerstore.Totals(h.cfg.Store, time.Now())
	gauge(descKnown, float64(st.Tried), "tried")
	gauge(descKnown, float64(st.New), "new")
	gauge(descBans, float64(st.Banned))
	counter(descForgotten, st.Forgotten)
	counter(descStoreErrors, st.WriteErrors)
	c.collectFindings(ch)
}

// collectFindings sends which findings hold.
func (c *collector) collectFindings(ch chan<- prometheus.Metric) {
	health := c.health.Load()
	if health == nil {
		return
	}
	now := map[[2]string]bool{}
	for _, f := range health.Check(time.Now()) {
		now[[2]string{f.Code, string(f.Severity)}] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[[2]string]bool{}
	}
	maps.Copy(c.held, now)
	for k := range c.held {
		holds := 0.0
		if now[k] {
			holds = 1
		}
		ch <- prometheus.MustNewConstMetric(descFindings, prometheus.GaugeValue, holds, k[0], k[1])
	}
}
