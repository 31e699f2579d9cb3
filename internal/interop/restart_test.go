package interop

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
)

// TestRestartWithoutSeed checks that a node finds its peers again from its store after a restart without the seed.
func TestRestartWithoutSeed(t *testing.T) {
	seed, comets := startComets(t, 4)
	dir := t.TempDir() + "/peers"
	run := func(seeds []string) (*node.Node, func()) {
		store, err := badger.Open(dir, badger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = store.Run(ctx) })
		n := node.Start(t, node.Config{Network: network, Moniker: "ours", Store: store,
			Channels: []muxer.Channel{echoChannel}, PEX: &pex.Config{}, Seeds: seeds})
		return n, func() {
			n.Stop()
			cancel()
			wg.Wait()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	first, stop := run([]string{seed.Address()})
	waitFor(t, 20*time.Second, "connected to all", func() bool { return len(first.Host.Peers()) == len(comets) })
	stop()
	seed.Stop()
	second, stop := run(nil)
	defer stop()
	began := time.Now()
	waitFor(t, 20*time.Second, "connected to all that are left", func() bool {
		return len(second.Host.Peers()) == len(comets)-1
	})
	t.Logf("found %d peers again after %v", len(comets)-1, time.Since(began))
}
