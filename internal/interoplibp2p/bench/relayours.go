package main

import (
	"context"
	"time"

	"github.com/switchyard-p2p/switchyard/host/relay"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
)

// ourSwarm is hosts of ours with a relay each.
type ourSwarm struct {
	nodes  []*node
	relays []*relay.Relay
}

// kept is what a node keeps for its peers: four times what is in flight. pubsub keeps what is in flight, too.
const kept = 8 << 20

func openOurs(t benchkit.Topology, got func(node int, item []byte)) (benchkit.Swarm, error) {
	s := &ourSwarm{}
	for i := range t.Nodes {
		n, err := newOurs("noise", true, func(n *node) error {
			r, err := relay.New(relay.Config{Keep: kept}, n.Host, nil)
			if err != nil {
				return err
			}
			s.relays = append(s.relays, r)
			sub := r.Subscribe(1 << 14)
			n.done.Go(func() { _ = r.Run(n.ctx) })
			n.done.Go(func() {
				for {
					d, err := sub.Next(n.ctx)
					if err != nil {
						return
					}
					got(i, d.Item)
				}
			})
			return nil
		})
		if err != nil {
			s.Close()
			return nil, err
		}
		s.nodes = append(s.nodes, n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), benchkit.Patience)
	defer cancel()
	for _, l := range t.Links {
		addr, err := s.nodes[l[1]].address()
		if err == nil {
			_, err = s.nodes[l[0]].Dial(ctx, addr)
		}
		if err != nil {
			s.Close()
			return nil, err
		}
	}
	for links := 0; links < 2*len(t.Links) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		links = 0
		for _, r := range s.relays {
			links += r.Stats().Peers
		}
	}
	return s, ctx.Err()
}

func (s *ourSwarm) Publish(node int, item []byte) error {
	_, err := s.relays[node].Publish(context.Background(), item)
	return err
}

func (s *ourSwarm) Close() {
	for _, n := range s.nodes {
		n.cancel()
	}
	for _, n := range s.nodes {
		n.done.Wait()
	}
}
