package chain_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/modules/chain"
)

// A chain of five blocks, and the check of what peers send of it.
func Example() {
	ctx := context.Background()
	key, made := chain.NewKey(), backfill.NewMemory()
	if err := chain.Make(ctx, made, key, 5, 100); err != nil {
		panic(err)
	}
	target := must(chain.TargetOf(ctx, made, 5, chain.Public(key)))

	fetched := backfill.NewMemory()
	verify := chain.Verify(fetched, target)
	block := must(made.Get(ctx, 1))
	fmt.Println(verify(ctx, 1, block))
	block[50]++
	fmt.Println("changed:", verify(ctx, 1, block) != nil)
	// Output:
	// <nil>
	// changed: true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
