package storm

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// Four hosts of ours and four of theirs, all of one topic, connect all to all at once, so that each pair dials each
// other. Every dial succeeds, nobody misses a subscription, and a message of each reaches all.
func TestStorm(t *testing.T) {
	for _, via := range hostkit.Each {
		t.Run(string(via), func(t *testing.T) {
			for n := range often(20, 2) {
				t.Run(fmt.Sprint(n), func(t *testing.T) { storm(t, via) })
			}
		})
	}
}

// settled is how long subscriptions may take after all dials have returned. The short form runs beside other tests.
func settled() time.Duration {
	if longtest.Long() {
		return 5 * time.Second
	}
	return patience
}

func storm(t *testing.T, via hostkit.Via) {
	hosts := mixture(t, 8, all(via))
	members := subscribe(t, hosts, pubsub.NewGossipSub, pubsub.WithFloodPublish(true))
	ctx := within(t)
	began := time.Now()
	var wg sync.WaitGroup
	for i, a := range hosts {
		for j, b := range hosts {
			if i != j {
				wg.Go(func() {
					if err := hostkit.Connect(ctx, a, b); err != nil {
						t.Errorf("%s %d dials %s %d: %v", kinds[i%2].name, i, kinds[j%2].name, j, err)
					}
				})
			}
		}
	}
	wg.Wait()
	dialed := time.Since(began)
	ctx, cancel := context.WithTimeout(t.Context(), settled())
	defer cancel()
	each(t, members, func(_ int, m *member) error { return m.awaitPeers(ctx, len(hosts)-1) })
	t.Logf("all dials took %v, subscriptions %v more", dialed.Round(time.Millisecond),
		(time.Since(began) - dialed).Round(time.Millisecond))
	if !t.Failed() {
		exchange(t, members, 1)
	}
}
