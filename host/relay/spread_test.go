package relay

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// In 60 nodes of mixed wires an item that is published anywhere reaches all, and hardly a body is sent twice; under
// loss, too.
func TestNetwork(t *testing.T) {
	for _, c := range []struct {
		name       string
		conditions memory.Conditions
		most       float64 // bodies a node and item
		within     time.Duration
	}{
		{"clean", memory.Conditions{Latency: 30 * time.Millisecond, Jitter: 40 * time.Millisecond}, 1.02, time.Second},
		{"5% loss", memory.Conditions{Latency: 30 * time.Millisecond, Jitter: 40 * time.Millisecond, Loss: 0.05}, 1.1,
			20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := hosttest.Options{Nodes: 60, Speaks: mixed, Conditions: c.conditions,
				Tune: func(_ *hosttest.Node, c *host.Config) { c.Peers.MaxOutbound = 4 }}
			inWorld(t, o, nil, func(w *world) {
				rng := rand.New(rand.NewPCG(2, 3))
				w.graph(rng, 6)
				var ids []ID
				for range 80 {
					size := 1 + rng.IntN(maxPush)
					if rng.IntN(4) == 0 {
						size = maxPush + 1 + rng.IntN(20<<10)
					}
					ids = append(ids, w.publish(w.Nodes[rng.IntN(60)], random(rng, size)).ID)
					time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				}
				took := w.awaitAll(ids...)
				time.Sleep(5 * time.Second) // what is late
				each := w.bodies()
				t.Logf("%.4f bodies a node and item, the last %v after it was published", each, took)
				if each > c.most {
					t.Errorf("%.4f bodies a node, want %.2f at most", each, c.most)
				}
				if took > c.within {
					t.Errorf("it took %v, want %v at most", took, c.within)
				}
				for _, n := range w.Nodes {
					if s := w.relays[n].Stats(); s.Misdeeds > 0 || s.Wanted > 0 {
						t.Errorf("%s: %+v", n.Name, s)
					}
				}
			})
		})
	}
}

// A node that restarts has forgotten all items, and gets them again; one that was cut off gets what it has missed.
func TestForgottenAndMissed(t *testing.T) {
	o := hosttest.Options{Nodes: 6, KnowFirst: true, Speaks: mixed,
		Conditions: memory.Conditions{Latency: time.Millisecond}}
	inWorld(t, o, nil, func(w *world) {
		w.AwaitConnected()
		rng := rand.New(rand.NewPCG(1, 1))
		publish := func(count int) (ids []ID) {
			for range count {
				ids = append(ids, w.publish(w.Nodes[0], random(rng, 1+rng.IntN(8000))).ID)
			}
			return ids
		}
		ids := publish(50)
		w.awaitAll(ids...)
		w.Nodes[3].Restart()
		w.awaitAll(ids...)

		w.Cut(memory.Stall, w.Nodes[4:])
		ids = append(ids, publish(50)...)
		time.Sleep(3 * time.Minute) // until the links are given up
		w.Heal()
		w.awaitAll(ids...)
		for _, n := range w.Nodes {
			for id, times := range w.got[n] {
				if times != 1 {
					t.Errorf("%s got %v %d times", n.Name, id, times)
				}
			}
		}
	})
}

// A peer that reads nothing holds nobody up, Publish shows it, and it gets everything once it reads again.
func TestSlowPeer(t *testing.T) {
	o := hosttest.Options{Nodes: 3, KnowFirst: true, Conditions: memory.Conditions{Latency: time.Millisecond}}
	inWorld(t, o, nil, func(w *world) {
		w.AwaitLink(w.Nodes[0], w.Nodes[1])
		w.AwaitLink(w.Nodes[0], w.Nodes[2])
		w.Between(w.Nodes[0], w.Nodes[1], memory.Conditions{Latency: time.Millisecond, Bandwidth: 1000})
		rng := rand.New(rand.NewPCG(1, 1))
		var ids []ID
		few := false
		for range 500 {
			receipt := w.publish(w.Nodes[0], random(rng, 4000))
			ids = append(ids, receipt.ID)
			few = few || receipt.Peers == 1
			time.Sleep(time.Millisecond)
		}
		if !few {
			t.Error("Publish never said that a peer is behind")
		}
		w.Await("the fast peer has all", func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.got[w.Nodes[2]]) < len(ids) {
				return "It lacks some."
			}
			return ""
		})
		if s := w.relays[w.Nodes[0]].Stats(); len(w.got[w.Nodes[1]]) == len(ids) {
			t.Errorf("the slow peer is not slow: %+v", s)
		}
		w.Between(w.Nodes[0], w.Nodes[1], memory.Conditions{Latency: time.Millisecond})
		w.awaitAll(ids...)
	})
}

// A subscriber that is full is told what it has missed, in place.
func TestMissed(t *testing.T) {
	inWorld(t, hosttest.Options{Nodes: 2}, nil, func(w *world) {
		r := w.relays[w.Nodes[0]]
		sub := r.Subscribe(3)
		var ids []ID
		for i := range 10 {
			ids = append(ids, w.publish(w.Nodes[0], []byte{byte(i)}).ID)
		}
		next := func() Delivery {
			d, err := sub.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for i := range 3 {
			if d := next(); d.ID != ids[i] || d.Missed != 0 || d.From != w.Nodes[0].ID {
				t.Errorf("%+v", d)
			}
		}
		after := w.publish(w.Nodes[0], []byte("after"))
		d := next()
		if d.ID != after.ID || d.Missed != 7 || len(d.MissedIDs) != 7 || d.MissedIDs[0] != ids[3] {
			t.Errorf("%+v", d)
		}
		if item, ok := r.Item(d.MissedIDs[0]); !ok || item[0] != 3 {
			t.Errorf("%v %v", item, ok)
		}
		for i := range 4 {
			w.publish(w.Nodes[0], []byte{99, byte(i)})
		}
		for range 3 {
			next()
		}
		if d := next(); d.Item != nil || d.Missed != 1 {
			t.Errorf("%+v", d)
		}
		sub.Close()
		sub.Close()
		if _, err := sub.Next(context.Background()); err != ErrStopped {
			t.Error(err)
		}
		w.Nodes[0].Stop()
		if _, err := r.Publish(context.Background(), []byte("late")); err != ErrStopped {
			t.Error(err)
		}
		if _, err := r.Subscribe(0).Next(context.Background()); err != ErrStopped {
			t.Error(err)
		}
	})
}
