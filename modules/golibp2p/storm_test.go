package golibp2p_test

import (
	"context"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Hosts that all connect to all at once know each other's subscriptions soon.
func TestStorm(t *testing.T) {
	for name, cfg := range stacks() {
		t.Run(name, func(t *testing.T) {
			const n = 6
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var hosts []corehost.Host
			var topics []*pubsub.Topic
			for range n {
				h := newHost(t, cfg)
				ps, err := pubsub.NewGossipSub(ctx, h)
				if err != nil {
					t.Fatal(err)
				}
				topic, err := ps.Join("t")
				if err == nil {
					_, err = topic.Subscribe()
				}
				if err != nil {
					t.Fatal(err)
				}
				hosts, topics = append(hosts, h), append(topics, topic)
			}
			var wg sync.WaitGroup
			for _, from := range hosts {
				for _, to := range hosts {
					if from == to {
						continue
					}
					wg.Go(func() {
						err := from.Connect(within(t), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()})
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
			wg.Wait()
			limit, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
			defer tick.Stop()
			for i, topic := range topics {
				for len(topic.ListPeers()) != n-1 {
					select {
					case <-tick.C:
					case <-limit:
						t.Fatalf("host %d knows %d subscriptions, want %d", i, len(topic.ListPeers()), n-1)
					}
				}
			}
		})
	}
}
