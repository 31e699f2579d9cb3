package backfill_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"log"

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
