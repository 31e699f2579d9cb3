package backfill_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/backfill"
)

// A node brings its store up to a height that it trusts before it does anything else, and fetches what is older beside
// its work.
func Example() {
	run := func(ctx context.Context, h *host.Host, store backfill.Store, hashes map[uint64][32]byte) error {
		service, err := backfill.New(backfill.Config{}, h, store, nil) // before h.Run
		if err != nil {
			return err
		}
		go func() { _ = service.Run(ctx) }()
		verify := func(_ context.Context, height uint64, item []byte) error {
			if sha256.Sum256(item) != hashes[height] {
				return backfill.Bad(host.Disconnect, errors.New("wrong hash"))
			}
			return nil
		}
		if err := service.Sync(ctx, backfill.Task{From: 1001, To: 2000, Verify: verify}); err != nil {
			return err // the node stops
		}
		go func() {
			if service.Backfill(ctx, backfill.Task{From: 1000, To: 1, Verify: verify}) == nil {
				log.Print("all is there")
			}
		}()
		return nil
	}
	_ = run
}

// A node fetches three items from another one.
func ExampleService_Sync() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	start := func(store backfill.Store, options ...switchyard.Option) (*switchyard.Node, *backfill.Service) {
		node := must(switchyard.New(ctx, options...))
		service := must(backfill.New(backfill.Config{}, node.Host(), store, nil))
		running.Go(func() { _ = service.Run(ctx) })
		running.Go(func() { _ = node.Run(ctx) })
		if err := node.Host().WaitListening(ctx); err != nil {
			panic(err)
		}
		return node, service
	}
	full, empty := backfill.NewMemory(), backfill.NewMemory()
	for height := range uint64(3) {
		if err := full.Put(ctx, height+1, fmt.Append(nil, "block ", height+1)); err != nil {
			panic(err)
		}
	}
	a, _ := start(full, switchyard.Listen("/ip4/127.0.0.1/tcp/0"))
	b, service := start(empty, switchyard.Listen())
	must(b.Host().Dial(ctx, a.Addresses()[0]))

	verify := func(_ context.Context, height uint64, item []byte) error {
		if string(item) != fmt.Sprint("block ", height) {
			return backfill.Bad(host.Disconnect, errors.New("not that block"))
		}
		return nil
	}
	err := service.Sync(ctx, backfill.Task{From: 1, To: 3, Verify: verify})
	fmt.Printf("%v %s\n", err, must(empty.Get(ctx, 3)))
	// Output: <nil> block 3
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
