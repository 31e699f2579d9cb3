package benchkit

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// relay is a Swarm that delivers at once.
type relay struct {
	nodes  int
	got    func(node int, item []byte)
	closed atomic.Bool
	fail   error
}

func (r *relay) Publish(_ int, item []byte) error {
	for i := range r.nodes {
		r.got(i, item)
	}
	return r.fail
}

func (r *relay) Close() { r.closed.Store(true) }

func TestRunSwarm(t *testing.T) {
	for _, top := range []Topology{StarOf(2), Graph(5, 2)} {
		r := &relay{nodes: top.Nodes}
		open := func(_ Topology, got func(int, []byte)) (Swarm, error) { r.got = got; return r, r.fail }
		f, err := RunSwarm(top, 64, 4, time.Millisecond, open)
		if err != nil || f.Items <= 0 || f.Deliveries < f.Items*1.9 || f.P99 < f.P50 || !r.closed.Load() {
			t.Errorf("%s: %+v, %v", top.Name, f, err)
		}
		r.fail = errors.New("no")
		if _, err := RunSwarm(top, 64, 4, time.Millisecond, open); !errors.Is(err, r.fail) {
			t.Error(err)
		}
	}
}

func TestTopologies(t *testing.T) {
	links := make([]int, 20)
	for _, l := range Graph(20, 8).Links {
		links[l[0]]++
		links[l[1]]++
	}
	for i, n := range links {
		if n < 6 || n > 8 {
			t.Errorf("node %d has %d links", i, n)
		}
	}
	if s := StarOf(3); s.Nodes != 4 || len(s.Links) != 3 || !s.Hub {
		t.Errorf("%+v", s)
	}
}
