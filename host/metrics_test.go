package host

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/muxer"
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
		out, _ := testLink(h, 3, muxer.Dialer, true)
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
			"link_pauses_total{}":                                                         0,
			"refused_total{}":                                                             0,
			"known_peers{state=tried}":                                                    0,
		})
		dup, _ := testLink(h, 1, muxer.Listener, true)
		dup.shake.Confirm = confirmed
		handOn(h, dup) // refused
		s.hangUp(&muxer.CloseError{Code: muxer.CodeEvicted, Remote: true})
		synctest.Wait()
		if _, ok := channels[0].next(); !ok {
			t.Error("nothing was received")
		}
		check(map[string]float64{
			"messages_total{direction=sent}": 5, // counters do not forget links that have ended
			"message_memory_bytes{}":         0,
		})
		if _, err := New(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "metrics:") {
			t.Errorf("a second host on the same registry: %v", err)
		}
	})
}
