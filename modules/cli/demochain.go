package cli

import (
	"context"

	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/modules/chain"
)

// demoChain is the example chain of a demo. The first node has it from the start, the others fetch it.
type demoChain struct {
	store  backfill.Store
	target chain.Target
}

const (
	demoBlocks    = 1000
	demoBlockSize = 1024
)

func newDemoChain(ctx context.Context) (d demoChain, err error) {
	key := chain.NewKey()
	d.store = backfill.NewMemory()
	if err := chain.Make(ctx, d.store, key, demoBlocks, demoBlockSize); err != nil {
		return d, err
	}
	d.target, err = chain.TargetOf(ctx, d.store, demoBlocks, chain.Public(key))
	return d, err
}
