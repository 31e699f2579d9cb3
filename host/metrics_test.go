package host

import (
	"fmt"
	"runtime"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// scrape reads all metrics, one line each.
func scrape(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			sort.Strings(labels)
			out[fmt.Sprintf("%s{%s}", strings.TrimPrefix(f.GetName(), "switchyard_"),
				strings.Join(labels, ","))] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func TestMetricsTellTheTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry() // it checks what the collector says of itself
		cfg := testConfig()
		cfg.Metrics = registry
		h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: 100, Overflow: muxer.Drop},
			muxer.Channel{ID: 0x70})
		h.cfg.Limits.PeerOverflow = 1
		defer run(t, h)()
		l, s := upLink(t, h, 1)
		upLink(t, h, 2)
		out, _ := dialedLink(t, h, 3, true)
		handOn(h, out)
		synctest.Wait()
		channels[1].Broadcast([]byte("x"))
		s.full = true
		channels[1].Broadcast([]byte("x"))
		deliver(t, l, strings.Repeat("x", 60), strings.Repeat("x", 60))

		check := func(want map[string]float64) {
			t.Helper()
			got := scrape(t, registry)
			for name, v := range want {
				if have, ok := got[name]; !ok || have != v {
					t.Errorf("%s is %v, want %v", name, have, v)
				}
			}
		}
		check(map[string]float64{
			"peers{direction=inbound,muxer=fake,security=fake,transport=fake,wire=fake}":  2,
			"peers{direction=outbound,muxer=fake,security=fake,transport=fake,wire=fake}": 1,
			"messages_total{direction=sent}":                                              5,
			"messages_dropped_total{channel=0x70,why=send-queue-full}":                    1,
			"messages_dropped_total{channel=0x01,why=inbox-full}":                         1,
			"message_memory_bytes{}":                                                      64 + muxer.MessageOverhead,
			"channel_queued_bytes{channel=0x01,direction=received}":                       64 + muxer.MessageOverhead,
			"channel_queued_bytes{channel=0x70,direction=received}":                       0,
			"link_pauses_total{}":                                                         0,
			"quarantined_peers{}":                                                         0,
			"trusted_peers_down{}":                                                        0,
			"build_info{go_version=" + runtime.Version() + ",version=switchyard}":         1,
			"forgotten_peers_total{}":                                                     0,
			"known_peers{state=tried}":                                                    0,
		})
		dup, _ := testLink(h, 1, muxer.Listener, true)
		dup.shake.Confirm = confirmed
		handOn(h, dup)
		s.hangUp(&muxer.CloseError{Code: muxer.CodeEvicted, Remote: true})
		synctest.Wait()
		if err := h.Ban(peerstore.Target{ID: testKey(4).ID()}, time.Time{}, ""); err != nil {
			t.Fatal(err)
		}
		banned, _ := testLink(h, 4, muxer.Listener, true)
		handOn(h, banned)
		synctest.Wait()
		if _, _, ok := channels[0].next(false); !ok {
			t.Error("nothing was received")
		}
		check(map[string]float64{
			"messages_total{direction=sent}":                5, // counters do not forget links that have ended
			"message_memory_bytes{}":                        0,
			"refused_total{cause=banned,limit=,stage=info}": 1,
		})
		if _, err := New(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "metrics:") {
			t.Errorf("a second host on the same registry: %v", err)
		}
	})
}

// TestOutcomesAreAClosedSet counts what remotes say in their own words.
func TestOutcomesAreAClosedSet(t *testing.T) {
	var c outcomes
	for i := range 1000 {
		for _, e := range []Event{
			{Kind: EventDialFailed, Stage: "info", Reason: &DisconnectError{Code: muxer.Code(i), Remote: true,
				Limit: fmt.Sprint(i), Reason: fmt.Sprint(i)}},
			{Kind: EventRefused, Inbound: true, Stage: "security", Reason: &DisconnectError{
				Code: muxer.CodeTooManyPeers, Limit: "peers.max_inbound", Reason: fmt.Sprint(i)}},
			{Kind: EventUp},
		} {
			c.count(&e)
		}
	}
	if len(c.failed) > 30 || c.failed[outcome{"info", "unknown", ""}] < 900 {
		t.Errorf("%d series of dials: %v", len(c.failed), c.failed)
	}
	if len(c.refused) != 1 || c.refused[outcome{"security", "too-many-peers", "peers.max_inbound"}] != 1000 {
		t.Errorf("refused: %v", c.refused)
	}
}

// TestMetricsOfLinks shows what a scrape tells of handshakes and round trips, and that a kind of links does not vanish.
func TestMetricsOfLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		cfg := testConfig()
		cfg.Metrics = registry
		h, _ := newTestHost(t, cfg)
		defer run(t, h)()
		_, s := upLink(t, h, 1)
		const inbound = "peers{direction=inbound,muxer=fake,security=fake,transport=fake,wire=fake}"
		if got := scrape(t, registry); got[inbound] != 1 {
			t.Errorf("%v links", got[inbound])
		}
		s.hangUp(&muxer.CloseError{Code: muxer.CodeEvicted, Remote: true})
		synctest.Wait()
		if n, ok := scrape(t, registry)[inbound]; !ok || n != 0 {
			t.Errorf("%v links, %v", n, ok)
		}
		h.times.roundTrips.Observe(0.02)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]uint64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				counts[f.GetName()] += m.GetHistogram().GetSampleCount()
			}
		}
		if counts["switchyard_handshake_seconds"] != 1 || counts["switchyard_round_trip_seconds"] != 1 {
			t.Errorf("%v", counts)
		}
	})
}

// Hosts that share a registry have a label each, or are refused. One that follows another needs none.
func TestSharedRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		make := func(r prometheus.Registerer) (*Host, error) {
			cfg := testConfig()
			cfg.Metrics = r
			return New(t.Context(), cfg)
		}
		first, err := make(registry)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := make(registry); err == nil || !strings.Contains(err.Error(), "a label of its own") {
			t.Errorf("a second host: %v", err)
		}
		if _, err := make(prometheus.WrapRegistererWithPrefix("other_", registry)); err != nil {
			t.Errorf("with other names: %v", err)
		}
		run(t, first)()
		if _, err := make(registry); err != nil {
			t.Errorf("after the first: %v", err)
		}
	})
}

// The findings are a metric whatever the log takes.
func TestFindingsWithoutALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		cfg := testConfig()
		cfg.Metrics, cfg.Logger = registry, nil
		h, _ := newTestHost(t, cfg)
		defer run(t, h)()
		synctest.Wait()
		if got := scrape(t, registry); got["findings{code=starting,severity=info}"] != 1 {
			t.Errorf("a node that has just started: %v", got)
		}
		time.Sleep(2 * time.Minute)
		got := scrape(t, registry)
		if got["findings{code=starting,severity=info}"] != 0 || len(got) == 0 {
			t.Errorf("later: %v", got)
		}
	})
}
