package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// world is a network of nodes with a relay each.
type world struct {
	*hosttest.Network
	t      *testing.T
	config func(n *hosttest.Node) Config

	mu     sync.Mutex
	relays map[*hosttest.Node]*Relay
	got    map[*hosttest.Node]map[ID]int // how often each was delivered since the node's start
	past   Stats                         // of relays that have stopped

	// playRogue, if set, gets the relay's channel of the nodes that start, and returns what plays their relay.
	playRogue func(*host.Channel) hosttest.Service
}

// inWorld runs a test in a network.
func inWorld(t *testing.T, o hosttest.Options, config func(n *hosttest.Node) Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, config: config, relays: map[*hosttest.Node]*Relay{}, got: map[*hosttest.Node]map[ID]int{}}
		if o.Channels == nil {
			o.Channels = []muxer.Channel{}
		}
		o.Services = w.services
		o.Plain = true
		w.Network = hosttest.New(t, o)
		test(w)
	})
}

func (w *world) services(n *hosttest.Node) ([]hosttest.Service, error) {
	var cfg Config
	if w.config != nil {
		cfg = w.config(n)
	}
	if w.playRogue != nil {
		c, err := n.Host.OpenChannel(cfg.withDefaults().channel())
		return []hosttest.Service{w.playRogue(c)}, err
	}
	r, err := New(cfg, n.Host, nil)
	if err != nil {
		return nil, err
	}
	got := map[ID]int{}
	w.mu.Lock()
	if old := w.relays[n]; old != nil {
		w.past.add(old.Stats())
	}
	w.relays[n], w.got[n] = r, got
	w.mu.Unlock()
	sub := r.Subscribe(1 << 20)
	read := func(ctx context.Context) error {
		for {
			d, err := sub.Next(ctx)
			if err != nil {
				return nil
			}
			w.mu.Lock()
			if got[d.ID]++; IDOf(d.Item) != d.ID || d.Missed != 0 {
				w.t.Errorf("%s got %v, which is %v; it missed %d", n.Name, d.ID, IDOf(d.Item), d.Missed)
			}
			w.mu.Unlock()
		}
	}
	return []hosttest.Service{r.Run, read}, nil
}

func (s *Stats) add(o Stats) {
	s.Bodies += o.Bodies
	s.Delivered += o.Delivered
	s.Published += o.Published
}

// publish publishes an item of so many bytes at a node.
func (w *world) publish(n *hosttest.Node, item []byte) *Receipt {
	w.t.Helper()
	receipt, err := w.relays[n].Publish(context.Background(), item)
	if err != nil {
		w.t.Fatalf("%s: %v", n.Name, err)
	}
	return receipt
}

// random returns an item of n bytes.
func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// awaitAll waits until all running nodes have got all items, each once.
func (w *world) awaitAll(ids ...ID) time.Duration {
	w.t.Helper()
	return w.Await(fmt.Sprintf("all have %d items", len(ids)), func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, n := range w.Nodes {
			if !n.Running() {
				continue
			}
			for i, id := range ids {
				if w.got[n][id] == 0 {
					return fmt.Sprintf("%s lacks item %d, %v.", n.Name, i, id)
				}
			}
		}
		return ""
	})
}

// bodies returns how many bodies came for each item that was delivered to a node that did not publish it.
func (w *world) bodies() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.past
	for _, r := range w.relays {
		s.add(r.Stats())
	}
	return float64(s.Bodies) / float64(s.Delivered-s.Published)
}

// random graph: each node knows some others, and dials up to four of them.
func (w *world) graph(rng *rand.Rand, known int) {
	for i, n := range w.Nodes {
		n.Learn(w.Nodes[(i+1)%len(w.Nodes)])
		for range known {
			if o := w.Nodes[rng.IntN(len(w.Nodes))]; o != n {
				n.Learn(o)
			}
		}
	}
	w.AwaitOutbound(2)
	w.AwaitConnected()
}

// mixed lets nodes speak comet, libp2p or both.
func mixed(n *hosttest.Node) []string {
	switch n.Index % 3 {
	case 0:
		return []string{transport.WireComet, transport.WireLibp2p}
	case 1:
		return []string{transport.WireLibp2p, transport.WireComet}
	}
	return []string{transport.WireComet}
}

// An item is published, pushed or announced, fetched, and delivered once.
func TestTwoNodes(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		for _, size := range []int{1, 100, maxPush, maxPush + 1, 64 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", wire, size), func(t *testing.T) {
				speaks := func(*hosttest.Node) []string { return []string{wire} }
				inWorld(t, hosttest.Options{KnowFirst: true, Speaks: speaks}, nil, func(w *world) {
					w.AwaitLink(w.Nodes[0], w.Nodes[1])
					rng := rand.New(rand.NewPCG(1, uint64(size)))
					receipt := w.publish(w.Nodes[0], random(rng, size))
					if receipt.Peers != 1 || receipt.Known {
						t.Errorf("%+v", receipt)
					}
					took := w.awaitAll(receipt.ID)
					if took > 20*time.Millisecond {
						t.Errorf("it took %v", took)
					}
					select {
					case <-receipt.Fetched():
					default:
						t.Error("nobody has fetched it")
					}
					same := random(rand.New(rand.NewPCG(1, uint64(size))), size)
					if again := w.publish(w.Nodes[1], same); !again.Known {
						t.Errorf("again: %+v", again)
					}
					if b := w.bodies(); b != 1 {
						t.Errorf("%v bodies for one", b)
					}
					s := w.relays[w.Nodes[1]].Stats()
					if pushed := size <= maxPush; (s.Pushed == 1) != pushed || (s.Fetched == 1) == pushed {
						t.Errorf("%+v", s)
					}
				})
			})
		}
	}
}
