package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
)

// topology is the links of a network of nodes: pairs of a dialer and a listener.
type topology struct {
	name  string
	nodes int
	links [][2]int
	hub   bool // node 0 publishes everything; otherwise all nodes in turn
}

func star(leaves int) topology {
	t := topology{name: fmt.Sprintf("star of %d", leaves), nodes: leaves + 1, hub: true}
	for i := range leaves {
		t.links = append(t.links, [2]int{i + 1, 0})
	}
	return t
}

// graph is a random graph in which each node has about degree links: a ring, so that it is connected, and random ones.
func graph(nodes, degree int) topology {
	t := topology{name: fmt.Sprintf("graph of %d, degree %d", nodes, degree), nodes: nodes}
	rng := rand.New(rand.NewPCG(1, 2))
	have, links := map[[2]int]bool{}, make([]int, nodes)
	add := func(a, b int) {
		if a != b && !have[[2]int{a, b}] && !have[[2]int{b, a}] && links[a] < degree && links[b] < degree {
			have[[2]int{a, b}] = true
			links[a]++
			links[b]++
			t.links = append(t.links, [2]int{a, b})
		}
	}
	for i := range nodes {
		add(i, (i+1)%nodes)
	}
	for tries := 0; len(t.links) < nodes*degree/2 && tries < 100_000; tries++ {
		add(rng.IntN(nodes), rng.IntN(nodes))
	}
	return t
}

// swarm is a running network that relays items.
type swarm interface {
	publish(node int, item []byte) error
	close()
}

// open makes a swarm that tells got of every item at every node. got may be called concurrently.
type open func(t topology, got func(node int, item []byte)) (swarm, error)

// relayFigures are what one run has measured.
type relayFigures struct {
	items    float64 // a second, until all nodes have them
	p50, p99 float64 // ms from publish to delivery, one item at a time
	wire     float64 // bytes on all connections for each byte delivered
	cpu      float64 // µs for each delivery
}

// track follows items through a swarm.
type track struct {
	nodes int
	mu    sync.Mutex
	items map[uint64]*tracked
	room  chan struct{} // a value for each item that may be in flight
	all   sync.WaitGroup
	took  []time.Duration
}

type tracked struct {
	published time.Time
	left      int
}

// got notes a delivery. Publishers do not count.
func (t *track) got(node int, item []byte) {
	seq, from := binary.BigEndian.Uint64(item), int(binary.BigEndian.Uint32(item[8:]))
	if from == node {
		return
	}
	now := time.Now()
	t.mu.Lock()
	it := t.items[seq]
	if it != nil {
		t.took = append(t.took, now.Sub(it.published))
		if it.left--; it.left > 0 {
			it = nil
		} else {
			delete(t.items, seq)
		}
	}
	t.mu.Unlock()
	if it != nil {
		<-t.room
		t.all.Done()
	}
}

// runRelay measures a swarm for about d.
func runRelay(top topology, size, window int, d time.Duration, make open) (f relayFigures, err error) {
	t := &track{nodes: top.nodes, items: map[uint64]*tracked{}}
	s, err := make(top, t.got)
	if err != nil {
		return f, err
	}
	defer s.close()
	rng := rand.New(rand.NewPCG(3, uint64(size)))
	seq := uint64(0)
	publish := func() error {
		from := 0
		if !top.hub {
			from = int(seq) % top.nodes
		}
		item := newItem(rng, seq, from, size)
		select {
		case t.room <- struct{}{}:
		case <-time.After(patience):
			return errors.New("items do not reach all nodes: some were dropped")
		}
		t.all.Add(1)
		t.mu.Lock()
		t.items[seq] = &tracked{time.Now(), top.nodes - 1}
		t.mu.Unlock()
		seq++
		return s.publish(from, item)
	}
	phase := func(window int, d time.Duration) (n int, took time.Duration, err error) {
		t.room, t.took = newRoom(window), nil
		began := time.Now()
		for ; time.Since(began) < d || n < 3; n++ {
			if err := publish(); err != nil {
				return n, 0, err
			}
		}
		if !within(patience, t.all.Wait) {
			return n, 0, errors.New("items do not reach all nodes: some were dropped")
		}
		return n, time.Since(began), nil
	}
	if _, _, err = phase(window, d/4); err != nil { // warm
		return f, err
	}
	bytes, used := wireBytes(), benchkit.ProcessorTime()
	n, took, err := phase(window, d)
	if err != nil {
		return f, err
	}
	deliveries := float64(n * (top.nodes - 1))
	f.items = float64(n) / took.Seconds()
	f.cpu = float64((benchkit.ProcessorTime() - used).Microseconds()) / deliveries
	f.wire = float64(wireBytes()-bytes) / (deliveries * float64(size))
	if _, _, err = phase(1, d/2); err != nil {
		return f, err
	}
	f.p50 = float64(benchkit.Quantile(t.took, 0.5).Microseconds()) / 1000
	f.p99 = float64(benchkit.Quantile(t.took, 0.99).Microseconds()) / 1000
	return f, nil
}

const patience = 30 * time.Second

func newRoom(n int) chan struct{} { return make(chan struct{}, n) }

// within reports whether fn returns in time.
func within(d time.Duration, fn func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// newItem makes an item that no other equals.
func newItem(rng *rand.Rand, seq uint64, from, size int) []byte {
	item := make([]byte, size)
	binary.BigEndian.PutUint64(item, seq)
	binary.BigEndian.PutUint32(item[8:], uint32(from))
	for i := 12; i+8 <= min(size, 128); i += 8 {
		binary.BigEndian.PutUint64(item[i:], rng.Uint64())
	}
	return item
}

// series measures once a round what several rows show.
type series struct {
	run  func(d time.Duration) (relayFigures, error)
	made []relayFigures
}

// row shows one of the figures.
func (s *series) row(pick func(relayFigures) float64) benchkit.Measure {
	shown := 0
	return func(d time.Duration) (benchkit.Figure, error) {
		if shown == len(s.made) {
			f, err := s.run(d)
			if err != nil {
				return benchkit.Figure{}, err
			}
			s.made = append(s.made, f)
		}
		shown++
		f := s.made[shown-1]
		return benchkit.Figure{Value: pick(f), CPU: f.cpu}, nil
	}
}

// relayRows compare our relay with go-libp2p-pubsub's floodsub and gossipsub.
func relayRows() (rows []benchkit.Row) {
	type goals struct{ items, cpu, latency, wire string }
	starGoals, largeGoals := goals{">= 2", "<= 0.5", "<= 0.8", ""}, goals{">= 0.9", "<= 1", "", ""}
	for _, c := range []struct {
		topology
		size, window int
		goals
	}{
		{star(10), 1 << 10, 256, starGoals},
		{star(50), 1 << 10, 256, starGoals},
		{star(10), 64 << 10, 32, largeGoals},
		{star(50), 64 << 10, 32, largeGoals},
		{graph(50, 8), 1 << 10, 256, goals{">= 4", "<= 0.25", "", "ours <= 1.3"}},
		{graph(50, 8), 64 << 10, 32, goals{"", "", "", "ours <= 1.05"}},
	} {
		ours := &series{run: func(d time.Duration) (relayFigures, error) {
			return runRelay(c.topology, c.size, c.window, d, openOurs)
		}}
		for _, kind := range []string{"floodsub", "gossipsub"} {
			theirs := &series{run: func(d time.Duration) (relayFigures, error) {
				return runRelay(c.topology, c.size, c.window, d, openTheirs(kind))
			}}
			for _, fig := range []struct {
				name, unit, goal string
				pick             func(relayFigures) float64
			}{
				{"items", "/s", c.goals.items, func(f relayFigures) float64 { return f.items }},
				{"CPU a delivery", "us", c.goals.cpu, func(f relayFigures) float64 { return f.cpu }},
				{"latency p50", "ms", c.goals.latency, func(f relayFigures) float64 { return f.p50 }},
				{"latency p99", "ms", c.goals.latency, func(f relayFigures) float64 { return f.p99 }},
				{"wire bytes a byte", "", c.goals.wire, func(f relayFigures) float64 { return f.wire }},
			} {
				goal := fig.goal
				if kind != "floodsub" {
					goal = ""
				}
				rows = append(rows, benchkit.Row{
					Name: fmt.Sprintf("relay and %s, %s, %d KiB: %s", kind, c.topology.name, c.size>>10, fig.name),
					Unit: fig.unit, Goal: goal, Ours: ours.row(fig.pick), Theirs: theirs.row(fig.pick)})
			}
		}
	}
	return rows
}
