package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	largeBlocks = 200
	largeSize   = 1 << 20 // bytes of a block at most
)

// planJoin makes blocks large and frequent, and adds nodes that join late: one of each kind that can.
func planJoin(p *plan) {
	planLarge(p, largeSize)
	p.joiners = joiners(p.kinds)
}

// planLarge makes blocks of so many bytes at most, and frequent.
func planLarge(p *plan, size int) {
	p.genesis = func(g map[string]any) {
		params := g["consensus_params"].(map[string]any)
		params["block"].(map[string]any)["max_bytes"] = fmt.Sprint(size)
	}
	p.config = func(_ *node, c *configFile) {
		c.set("consensus", "timeout_commit", "100ms")
		c.set("storage", "discard_abci_responses", true)
	}
}

// joiners returns a stock node if one of the kinds links to it, and one of ours if there are any.
func joiners(kinds []kind) (late []kind) {
	for _, candidate := range []kind{stock, both} {
		for _, k := range kinds {
			if candidate == stock && k.links(stock) || candidate == both && k.ours() {
				late = append(late, candidate)
				break
			}
		}
	}
	return late
}

// joined fills 200 blocks of 1 MB; then nodes join, one after another, and must have them all.
func joined(ctx context.Context, w *network) (string, error) {
	top, err := w.fill(ctx, largeBlocks, largeSize)
	if err != nil {
		return "", err
	}
	var notes []string
	for _, n := range w.joining {
		took, err := w.catchUp(ctx, n, top)
		if err != nil {
			return "", err
		}
		notes = append(notes, fmt.Sprintf("%c in %.1f s", n.kind, took.Seconds()))
	}
	return fmt.Sprintf("height %d: %s", top, strings.Join(notes, ", ")), nil
}

// fill sends transactions until so many blocks are three quarters full, and returns the height then.
func (w *network) fill(ctx context.Context, blocks, limit int) (int64, error) {
	filling, stop := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer stop()
	sending.Go(func() {
		for turn := 0; filling.Err() == nil; turn++ {
			n := w.nodes[turn%len(w.nodes)]
			if n.waiting(filling) > 3*limit || n.submit(filling, transaction(n.name, limit/6)) != nil {
				_ = sleep(filling, 50*time.Millisecond)
			}
		}
	})
	n := w.nodes[0]
	next, err := n.height(ctx)
	if err != nil {
		return 0, err
	}
	for full := 0; full < blocks; {
		next++
		if err := n.reach(ctx, next, time.Minute); err != nil {
			return 0, err
		}
		b, err := n.block(ctx, next)
		if err != nil {
			return 0, err
		}
		bytes := 0
		for _, tx := range b.Block.Data.Txs {
			bytes += len(tx) * 3 / 4 // base64
		}
		if bytes > limit*3/4 {
			full++
		}
	}
	return next, nil
}

// waiting returns how many bytes of transactions are in the node's mempool; 0 if it does not say.
func (n *node) waiting(ctx context.Context) int {
	var r struct {
		Bytes int `json:"total_bytes,string"`
	}
	if n.quick(ctx, "num_unconfirmed_txs", nil, &r) != nil {
		return 0
	}
	return r.Bytes
}

// catchUp starts a node that has nothing and returns how long it takes to have all blocks up to a height. Its last
// block must be that of the others.
func (w *network) catchUp(ctx context.Context, n *node, top int64) (time.Duration, error) {
	began := time.Now()
	if err := n.start(); err != nil {
		return 0, err
	}
	if err := n.reach(ctx, top, 5*time.Minute); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, sameBlock(ctx, w.nodes[0], n, top)
}

// sameBlock returns an error unless two nodes have the same block at a height.
func sameBlock(ctx context.Context, a, b *node, height int64) error {
	x, err := a.block(ctx, height)
	if err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	y, err := b.block(ctx, height)
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	if x.ID.Hash != y.ID.Hash {
		return fmt.Errorf("block %d of %s is %s, that of %s %s", height, a.name, x.ID.Hash, b.name, y.ID.Hash)
	}
	return nil
}
