package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// swarm is hosts with a gossipsub each.
type swarm struct {
	hosts
	topics []*pubsub.Topic
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// openSwarm makes swarms of gossipsub with its default parameters: unsigned, ids by SHA-256, and queues so long that
// nothing is dropped.
func openSwarm(make hostkit.Make) benchkit.OpenSwarm {
	return func(t benchkit.Topology, got func(node int, item []byte)) (benchkit.Swarm, error) {
		s := &swarm{}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		err := s.start(make, t, got)
		if err != nil {
			s.Close()
			return nil, err
		}
		return s, nil
	}
}

func (s *swarm) start(make hostkit.Make, t benchkit.Topology, got func(node int, item []byte)) (err error) {
	if s.hosts, err = open(make, t.Nodes); err != nil {
		return err
	}
	for i := range s.hosts {
		if err := s.join(i, got); err != nil {
			return err
		}
	}
	if err := s.link(s.ctx, t.Links); err != nil {
		return err
	}
	for began, links := time.Now(), 0; links < 2*len(t.Links); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > benchkit.Patience {
			return errors.New("not all peers of the topic have found each other")
		}
		links = 0
		for _, topic := range s.topics {
			links += len(topic.ListPeers())
		}
	}
	time.Sleep(2500 * time.Millisecond) // two heartbeats, for the meshes
	return nil
}

func (s *swarm) join(i int, got func(node int, item []byte)) error {
	ps, err := pubsub.NewGossipSub(s.ctx, s.hosts[i],
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(func(m *pb.Message) string {
			sum := sha256.Sum256(m.Data)
			return string(sum[:])
		}),
		pubsub.WithPeerOutboundQueueSize(1<<14), pubsub.WithValidateQueueSize(1<<14),
		pubsub.WithValidateThrottle(1<<14))
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

func (s *swarm) Publish(node int, item []byte) error { return s.topics[node].Publish(s.ctx, item) }

func (s *swarm) Close() {
	s.cancel()
	s.done.Wait()
	s.close()
}
