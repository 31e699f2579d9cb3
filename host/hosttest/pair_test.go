package hosttest

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/muxer"
)

func TestPairAndStarAreWhatBenchmarksMeasure(t *testing.T) {
	net := New(t, Options{Nodes: 3})
	hub, a, b := net.Nodes[0], net.Nodes[1], net.Nodes[2]
	star := NewStar(hub.Host, hub.Address(), []*host.Host{a.Host, b.Host}, func() {})
	for i := range 2 {
		if err := star.Setup(i); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(hub.Host.Peers()); n != 2 {
		t.Errorf("%d links after two set-ups", n)
	}
	for i := range 2 {
		if err := star.Hangup(i); err != nil {
			t.Fatal(err)
		}
	}
	star.Close()
	pair := func() (benchkit.Pair, error) {
		p := &Pair{A: a.Host, B: hub.Host, FromA: a.Channels[0], AtB: hub.Channels[0], End: func() {
			a.Host.Disconnect(hub.ID, muxer.CodeRequested, "")
		}}
		return p, p.Link(hub.Address())
	}
	if f, err := benchkit.RoundTrips(pair, 0.5)(time.Millisecond); err != nil || f.Value <= 0 {
		t.Errorf("round trips: %+v, %v", f, err)
	}
}
