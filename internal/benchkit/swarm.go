package benchkit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Topology is the links of a network of nodes.
type Topology struct {
	Name  string
	Nodes int
	Links [][2]int // a dialer and a listener
	Hub   bool     // node 0 publishes everything; otherwise all nodes in turn
}

// StarOf is a hub with leaves.
func StarOf(leaves int) Topology {
	t := Topology{Name: fmt.Sprintf("star of %d", leaves), Nodes: leaves + 1, Hub: true}
	for i := range leaves {
		t.Links = append(t.Links, [2]int{i + 1, 0})
	}
	return t
}

// Graph is a random graph in which each node has about degree links: a ring, so that it is connected, and random ones.
func Graph(nodes, degree int) Topology {
	t := Topology{Name: fmt.Sprintf("graph of %d, degree %d", nodes, degree), Nodes: nodes}
	rng := rand.New(rand.NewPCG(1, 2))
	have, links := map[[2]int]bool{}, make([]int, nodes)
	add := func(a, b int) {
		if a != b && !have[[2]int{a, b}] && !have[[2]int{b, a}] && links[a] < degree && links[b] < degree {
			have[[2]int{a, b}] = true
			links[a]++
			links[b]++
			t.Links = append(t.Links, [2]int{a, b})
		}
	}
	for i := range nodes {
		add(i, (i+1)%nodes)
	}
	for tries := 0; len(t.Links) < nodes*degree/2 && tries < 100_000; tries++ {
		add(rng.IntN(nodes), rng.IntN(nodes))
	}
	return t
}

// Swarm is a running network that spreads items.
type Swarm interface {
	Publish(node int, item []byte) error
	Close()
}

// OpenSwarm makes a swarm that tells got of every item at every node. got may be called concurrently.
type OpenSwarm func(t Topology, got func(node int, item []byte)) (Swarm, error)

// SwarmFigures are what one run has measured.
type SwarmFigures struct {
	Items      float64 // a second, until all nodes have them
	Deliveries float64 // a second: items times the nodes that they reach
	P50, P99   float64 // ms from publish to delivery, one item at a time
	Wire       float64 // bytes on all connections for each byte delivered
	CPU        float64 // µs for each delivery
}

// Patience is how long an item may take to reach all nodes.
const Patience = 30 * time.Second

// track follows items through a swarm.
type track struct {
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

// RunSwarm measures a swarm for about d, with items of size bytes, of which window are in flight.
func RunSwarm(top Topology, size, window int, d time.Duration, open OpenSwarm) (f SwarmFigures, err error) {
	t := &track{items: map[uint64]*tracked{}}
	s, err := open(top, t.got)
	if err != nil {
		return f, err
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(3, uint64(size)))
	seq := uint64(0)
	publish := func() error {
		from := 0
		if !top.Hub {
			from = int(seq) % top.Nodes
		}
		item := newItem(rng, seq, from, size)
		select {
		case t.room <- struct{}{}:
		case <-time.After(Patience):
			return errDropped
		}
		t.all.Add(1)
		t.mu.Lock()
		t.items[seq] = &tracked{time.Now(), top.Nodes - 1}
		t.mu.Unlock()
		seq++
		return s.Publish(from, item)
	}
	phase := func(window int, d time.Duration) (n int, took time.Duration, err error) {
		t.room, t.took = make(chan struct{}, window), nil
		began := time.Now()
		for ; time.Since(began) < d || n < 3; n++ {
			if err := publish(); err != nil {
				return n, 0, err
			}
		}
		if !within(Patience, t.all.Wait) {
			return n, 0, errDropped
		}
		return n, time.Since(began), nil
	}
	if _, _, err = phase(window, d/4); err != nil { // warm
		return f, err
	}
	bytes, used := wireBytes(), processorTime()
	n, took, err := phase(window, d)
	if err != nil {
		return f, err
	}
	deliveries := float64(n * (top.Nodes - 1))
	f.Items, f.Deliveries = float64(n)/took.Seconds(), deliveries/took.Seconds()
	f.CPU = float64((processorTime() - used).Microseconds()) / deliveries
	f.Wire = float64(wireBytes()-bytes) / (deliveries * float64(size))
	if _, _, err = phase(1, d/2); err != nil {
		return f, err
	}
	f.P50 = float64(quantile(t.took, 0.5).Microseconds()) / 1000
	f.P99 = float64(quantile(t.took, 0.99).Microseconds()) / 1000
	return f, nil
}

var errDropped = errors.New("items do not reach all nodes: some were dropped")

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

// SwarmSeries measures once a round what several rows show.
type SwarmSeries struct {
	Run  func(d time.Duration) (SwarmFigures, error)
	made []SwarmFigures
}

// Row shows one of the figures.
func (s *SwarmSeries) Row(pick func(SwarmFigures) float64) Measure {
	shown := 0
	return func(d time.Duration) (Figure, error) {
		if shown == len(s.made) {
			f, err := s.Run(d)
			if err != nil {
				return Figure{}, err
			}
			s.made = append(s.made, f)
		}
		shown++
		f := s.made[shown-1]
		return Figure{Value: pick(f), CPU: f.CPU}, nil
	}
}
