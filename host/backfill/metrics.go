package backfill

import "github.com/prometheus/client_golang/prometheus"

// Collectors returns the metrics of a service, whose names begin with prefix. They are read when they are scraped.
func Collectors(s *Service, prefix string) []prometheus.Collector {
	counter := func(name, help string, value func(Counts) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + "_" + name, Help: help},
			func() float64 { return float64(value(s.Counts())) })
	}
	gauge := func(name, help string, value func(Progress) float64) prometheus.Collector {
		total := func() (sum float64) {
			for _, p := range s.Runs() {
				sum += value(p)
			}
			return sum
		}
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "_" + name, Help: help}, total)
	}
	return []prometheus.Collector{
		counter("committed_total", "Heights that were verified and stored.",
			func(c Counts) uint64 { return c.Committed }),
		counter("committed_bytes_total", "Bytes of their items.", func(c Counts) uint64 { return c.Bytes }),
		counter("requests_total", "Requests to peers.", func(c Counts) uint64 { return c.Requests }),
		counter("second_requests_total", "Requests to a second peer, as the first was slow.",
			func(c Counts) uint64 { return c.Hedged }),
		counter("lacking_total", "Answers of peers that did not have the height.",
			func(c Counts) uint64 { return c.Lacking }),
		counter("failed_total", "Requests without an answer.", func(c Counts) uint64 { return c.Failed }),
		counter("bad_items_total", "Items that did not verify.", func(c Counts) uint64 { return c.Bad }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + "_served_total",
			Help: "Requests of peers that were answered."},
			func() float64 { return float64(s.Requests().Served) }),
		gauge("missing", "Heights that present runs have still to fetch.",
			func(p Progress) float64 { return float64(p.Total - p.Done) }),
		gauge("held_bytes", "Bytes that were fetched and are not verified yet.",
			func(p Progress) float64 { return float64(p.Held) }),
	}
}
