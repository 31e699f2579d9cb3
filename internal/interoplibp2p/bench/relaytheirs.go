package main

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
)

// theirSwarm is go-libp2p hosts with a pubsub each.
type theirSwarm struct {
	hosts  []host.Host
	topics []*pubsub.Topic
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// openTheirs makes swarms of floodsub or gossipsub: unsigned, ids by SHA-256, queues so long that nothing is dropped,
// and for gossipsub flood-publish.
func openTheirs(kind string) benchkit.OpenSwarm {
	return func(t benchkit.Topology, got func(node int, item []byte)) (benchkit.Swarm, error) {
		s := &theirSwarm{}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		opts := []pubsub.Option{
			pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
			pubsub.WithMessageIdFn(func(m *pb.Message) string {
				sum := sha256.Sum256(m.Data)
				return string(sum[:])
			}),
			pubsub.WithPeerOutboundQueueSize(1 << 14), pubsub.WithValidateQueueSize(1 << 14),
			pubsub.WithValidateThrottle(1 << 14), pubsub.WithMaxMessageSize(2 << 20),
		}
		start := pubsub.NewFloodSub
		if kind == "gossipsub" {
			start = pubsub.NewGossipSub
			opts = append(opts, pubsub.WithFloodPublish(true))
		}
		for i := range t.Nodes {
			if err := s.add(i, start, opts, got); err != nil {
				s.Close()
				return nil, err
			}
		}
		for _, l := range t.Links {
			to := s.hosts[l[1]]
			if err := s.hosts[l[0]].Connect(s.ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
				s.Close()
				return nil, err
			}
		}
		began := time.Now()
		for links := 0; links < 2*len(t.Links) && time.Since(began) < benchkit.Patience; {
			time.Sleep(10 * time.Millisecond)
			links = 0
			for _, topic := range s.topics {
				links += len(topic.ListPeers())
			}
		}
		if kind == "gossipsub" {
			time.Sleep(2500 * time.Millisecond) // two heartbeats, for the meshes
		}
		return s, nil
	}
}

// add starts one node.
func (s *theirSwarm) add(i int, start func(context.Context, host.Host, ...pubsub.Option) (*pubsub.PubSub, error),
	opts []pubsub.Option, got func(node int, item []byte)) error {
	h, err := newTheirs("noise", true)
	if err != nil {
		return err
	}
	s.hosts = append(s.hosts, h)
	ps, err := start(s.ctx, h, opts...)
	if err != nil {
		return err
	}
	topic, err := ps.Join("bench")
	if err != nil {
		return err
	}
	s.topics = append(s.topics, topic)
	sub, err := topic.Subscribe(pubsub.WithBufferSize(1 << 14))
	if err != nil {
		return err
	}
	s.done.Go(func() {
		for {
			m, err := sub.Next(s.ctx)
			if err != nil {
				return
			}
			got(i, m.Data)
		}
	})
	return nil
}

func (s *theirSwarm) Publish(node int, item []byte) error { return s.topics[node].Publish(s.ctx, item) }

func (s *theirSwarm) Close() {
	s.cancel()
	s.done.Wait()
	for _, h := range s.hosts {
		_ = h.Close()
	}
}
