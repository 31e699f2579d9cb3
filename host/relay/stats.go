package relay

import "github.com/prometheus/client_golang/prometheus"

// Stats counts what a relay has done. Items are counted once each, bodies as often as they came.
type Stats struct {
	Published uint64 // items of our own
	Delivered uint64 // items accepted, our own too
	Fetched   uint64 // items that came because we requested them
	Pushed    uint64 // items that came from their publisher without a request
	Rejected  uint64 // items that Validate has refused
	Postponed uint64 // items that Validate could not judge

	Bodies      uint64 // that came
	Duplicates  uint64 // bodies of items that we had
	Unrequested uint64 // bodies that nobody had requested
	Lies        uint64 // bodies of another size than announced
	Garbage     uint64 // bodies of another id than requested

	Announced uint64 // announcements that came
	Cut       uint64 // of these, those beyond what may wait for one peer
	PushesCut uint64 // pushes that were taken for announcements, because their peer had spent its budget
	Timeouts  uint64 // requests without an answer in time
	Missing   uint64 // requests that the peer could not serve
	Misdeeds  uint64 // reports against peers
	Offered   uint64 // announcements sent
	Rescans   uint64 // rounds of offers: to peers that came up, were slow, or asked
	Served    uint64 // bodies sent
	NotFound  uint64 // requests that we could not serve
	Missed    uint64 // items that subscribers have missed

	ServedBytes uint64 // of bodies sent

	Items     int   // kept for peers
	ItemBytes int64 // of these
	Wanted    int   // items announced and not here yet
	InFlight  int   // requests that wait for an answer, late ones apart
	Peers     int
}

// Stats returns the present counts.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.m.stats
	s.Missed = r.subs.missed
	s.Items, s.ItemBytes = len(r.m.shelf.items), r.m.shelf.bytes
	s.Wanted, s.InFlight, s.Peers = len(r.m.wants), len(r.m.timers), len(r.m.peers)
	return s
}

// collector shows the stats of relays as metrics, with a label for the topic.
type collector struct{ relays []*Relay }

// metric is one of collector's.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Stats) float64
}

func counter(name, help string, value func(*Stats) uint64) metric {
	return metric{prometheus.NewDesc("switchyard_relay_"+name+"_total", help, []string{"topic"}, nil),
		prometheus.CounterValue, func(s *Stats) float64 { return float64(value(s)) }}
}

func gauge(name, help string, value func(*Stats) float64) metric {
	return metric{prometheus.NewDesc("switchyard_relay_"+name, help, []string{"topic"}, nil), prometheus.GaugeValue,
		value}
}

var metrics = []metric{
	counter("published", "Items of our own.", func(s *Stats) uint64 { return s.Published }),
	counter("delivered", "Items accepted, our own too.", func(s *Stats) uint64 { return s.Delivered }),
	counter("fetched", "Items that came because we requested them.", func(s *Stats) uint64 { return s.Fetched }),
	counter("pushed", "Items that came from their publisher.", func(s *Stats) uint64 { return s.Pushed }),
	counter("rejected", "Items that were not valid.", func(s *Stats) uint64 { return s.Rejected }),
	counter("postponed", "Items that could not be judged.", func(s *Stats) uint64 { return s.Postponed }),
	counter("bodies", "Bodies that came.", func(s *Stats) uint64 { return s.Bodies }),
	counter("duplicates", "Bodies of items that we had.", func(s *Stats) uint64 { return s.Duplicates }),
	counter("unrequested", "Bodies that nobody had requested.", func(s *Stats) uint64 { return s.Unrequested }),
	counter("lies", "Bodies of another size than announced.", func(s *Stats) uint64 { return s.Lies }),
	counter("garbage", "Bodies of another id than requested.", func(s *Stats) uint64 { return s.Garbage }),
	counter("announced", "Announcements that came.", func(s *Stats) uint64 { return s.Announced }),
	counter("cut", "Announcements beyond what may wait for one peer.", func(s *Stats) uint64 { return s.Cut }),
	counter("pushes_cut", "Pushes beyond their peer's budget.", func(s *Stats) uint64 { return s.PushesCut }),
	counter("timeouts", "Requests without an answer in time.", func(s *Stats) uint64 { return s.Timeouts }),
	counter("missing", "Requests that a peer could not serve.", func(s *Stats) uint64 { return s.Missing }),
	counter("misdeeds", "Reports against peers.", func(s *Stats) uint64 { return s.Misdeeds }),
	counter("offered", "Announcements sent.", func(s *Stats) uint64 { return s.Offered }),
	counter("rescans", "Rounds of offers to peers that lack much.", func(s *Stats) uint64 { return s.Rescans }),
	counter("served", "Bodies sent.", func(s *Stats) uint64 { return s.Served }),
	counter("served_bytes", "Bytes of bodies sent.", func(s *Stats) uint64 { return s.ServedBytes }),
	counter("not_found", "Requests that we could not serve.", func(s *Stats) uint64 { return s.NotFound }),
	counter("missed", "Items that subscribers have missed.", func(s *Stats) uint64 { return s.Missed }),
	gauge("items", "Items kept for peers.", func(s *Stats) float64 { return float64(s.Items) }),
	gauge("item_bytes", "Bytes of items kept for peers.", func(s *Stats) float64 { return float64(s.ItemBytes) }),
	gauge("wanted", "Items announced and not here yet.", func(s *Stats) float64 { return float64(s.Wanted) }),
	gauge("in_flight", "Requests that wait for an answer.", func(s *Stats) float64 { return float64(s.InFlight) }),
	gauge("peers", "Peers with the topic.", func(s *Stats) float64 { return float64(s.Peers) }),
}

// descItems counts the items of all topics by what became of them.
var descItems = prometheus.NewDesc("switchyard_relay_items_total",
	"Items of all topics: our own, accepted from peers, and not valid.", []string{"outcome"}, nil)

// Describe implements prometheus.Collector.
func (*collector) Describe(out chan<- *prometheus.Desc) {
	out <- descItems
	for _, m := range metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	var published, received, rejected uint64
	defer func() {
		for outcome, n := range map[string]uint64{"published": published, "received": received, "rejected": rejected} {
			out <- prometheus.MustNewConstMetric(descItems, prometheus.CounterValue, float64(n), outcome)
		}
	}()
	for _, r := range c.relays {
		s := r.Stats()
		published, received, rejected = published+s.Published, received+s.Delivered-s.Published, rejected+s.Rejected
		for _, m := range metrics {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s), r.cfg.Topic)
		}
	}
}
