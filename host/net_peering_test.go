package host_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// peeringLog is what a node's hook and its services see of another node's peerings.
type peeringLog struct {
	t  *testing.T
	mu sync.Mutex

	introduced map[uint64]bool   // hooks that have returned
	life       map[uint64]uint64 // of the remote, as its messages tell
	last       uint64            // number of the latest message
	next       uint32            // what its sender counts
	received   int
}

// take judges a message: the life of its sender (8 bytes), and a counter that begins anew with each peering.
func (p *peeringLog) take(e host.Envelope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	life, count := binary.BigEndian.Uint64(e.Message), binary.BigEndian.Uint32(e.Message[8:])
	switch was, known := p.life[e.Peering]; {
	case !p.introduced[e.Peering]:
		p.t.Errorf("a message of peering %d before its hook has returned", e.Peering)
	case e.Peering < p.last:
		p.t.Errorf("a message of peering %d after one of %d", e.Peering, p.last)
	case known && was != life:
		p.t.Errorf("messages of two lives of a node are both of peering %d", e.Peering)
	case e.Peering == p.last && count <= p.next:
		p.t.Errorf("message %d of peering %d after message %d", count, e.Peering, p.next)
	}
	p.life[e.Peering], p.last, p.next = life, e.Peering, count
	p.received++
}

// A node restarts again and again while the other one is slow, so that messages of its earlier lives wait when it is
// back: each one counts as of the peering over which it came, and comes behind the hook of that peering.
func TestOldMessagesAreNotOfTheNewPeering(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s, seed %d", wire, seed+1), func(t *testing.T) {
				log := &peeringLog{t: t, introduced: map[uint64]bool{}, life: map[uint64]uint64{}}
				rng, hooks := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2)) // log.mu guards hooks
				lives := uint64(0)
				services := func(n *hosttest.Node) ([]hosttest.Service, error) {
					if n.Index == 0 {
						err := n.Host.OnPeer(func(p *host.Peering) {
							log.mu.Lock()
							busy := time.Duration(hooks.IntN(3000)) * time.Millisecond
							log.mu.Unlock()
							time.Sleep(busy)
							log.mu.Lock()
							log.introduced[p.Number()] = true
							log.mu.Unlock()
						})
						return []hosttest.Service{func(ctx context.Context) error {
							return n.Channels[0].Serve(ctx, func(_ context.Context, e host.Envelope) error {
								log.take(e)
								time.Sleep(20 * time.Millisecond)
								return nil
							})
						}}, err
					}
					lives++
					life := lives
					err := n.Host.OnPeer(func(p *host.Peering) {
						for i := range 200 {
							msg := binary.BigEndian.AppendUint64(nil, life)
							msg = append(binary.BigEndian.AppendUint32(msg, uint32(i+1)), make([]byte, 500)...)
							if p.Send(context.Background(), n.Channels[0], msg) != nil {
								return
							}
						}
					})
					return nil, err
				}
				inNet(t, hosttest.Options{Seed: seed + 1, Conditions: wan, Services: services, Plain: true,
					Speaks: func(*hosttest.Node) []string { return []string{wire} },
				}, func(t *testing.T, net *hosttest.Network) {
					a, b := net.Nodes[0], net.Nodes[1]
					for round := range 8 {
						b.Learn(a)
						net.AwaitLink(a, b)
						time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
						if round%2 == 0 {
							b.Crash()
						} else {
							b.Stop()
						}
						time.Sleep(time.Duration(rng.IntN(8000)) * time.Millisecond)
						b.Start()
					}
					time.Sleep(time.Minute)
					log.mu.Lock()
					defer log.mu.Unlock()
					if log.received < 400 || len(log.life) < 4 {
						t.Errorf("only %d messages of %d peerings were received", log.received, len(log.life))
					}
				})
			})
		}
	}
}

// Two nodes that dial each other at once: each hook comes before the first message and the first stream of its peering,
// the remote sends as soon as it can, and neither end takes what stood by for another peering.
func TestHooksComeFirstAfterSimultaneousDials(t *testing.T) {
	const protocol = "/hook/1"
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		for seed := range uint64(24) {
			var mu sync.Mutex
			ready := map[string]bool{} // "node number": its hook has returned
			received := map[*hosttest.Node]int{}
			services := func(n *hosttest.Node) ([]hosttest.Service, error) {
				up := false
				err := n.Host.OnPeer(func(p *host.Peering) {
					time.Sleep(time.Duration(seed%5) * 300 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					ready[fmt.Sprint(n.Index, p.Number())] = true
					up = true
				})
				if err == nil {
					err = n.Host.HandleStream(protocol, func(context.Context, transport.NodeID, muxer.Stream) {
						mu.Lock()
						defer mu.Unlock()
						if !up {
							t.Error("a stream before the hook has returned")
						}
					})
				}
				run, _ := greet(n)
				return append(run, func(ctx context.Context) error {
					return n.Channels[0].Serve(ctx, func(_ context.Context, e host.Envelope) error {
						mu.Lock()
						defer mu.Unlock()
						info, ok := n.Host.Peer(e.From)
						if !ready[fmt.Sprint(n.Index, e.Peering)] || !ok || info.Peering != e.Peering {
							t.Errorf("a message of peering %d, while %+v (%v)", e.Peering, info, ok)
						}
						received[n]++
						return nil
					})
				}, func(ctx context.Context) error {
					sub := n.Host.Subscribe(ctx)
					for {
						u, err := sub.Next(ctx)
						if err != nil {
							return err
						}
						if s, err := n.Host.OpenStream(ctx, u.ID, protocol); err == nil {
							_ = s.Close()
						}
					}
				}), err
			}
			inNet(t, hosttest.Options{Seed: seed + 1, Conditions: wan, Services: services, Plain: true,
				Speaks: func(*hosttest.Node) []string { return []string{wire} },
			}, func(t *testing.T, net *hosttest.Network) {
				a, b := net.Nodes[0], net.Nodes[1]
				learnOver(a, b, wire)
				time.Sleep(time.Duration(seed) * 5 * time.Millisecond)
				learnOver(b, a, wire)
				net.AwaitLink(a, b)
				time.Sleep(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if received[a] != 1 || received[b] != 1 {
					t.Errorf("%s, seed %d: %d and %d messages were received", wire, seed, received[a], received[b])
				}
				net.AssertNoFlap(a, b)
				net.AssertNoFlap(b, a)
				net.AssertTruth()
			})
		}
	}
}
