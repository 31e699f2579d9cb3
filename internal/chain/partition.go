package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// apart is how long a network is cut in two.
const apart = time.Minute

// partitioned cuts a network in halves that are too small to make blocks, for a minute, and heals it.
func partitioned(ctx context.Context, w *network) (string, error) {
	half := len(w.nodes) / 2
	var cut []int
	for i := range half {
		cut = append(cut, i)
	}
	w.wan.cut(cut...)
	if err := sleep(ctx, 5*time.Second); err != nil { // messages on their way may still make a block
		return "", err
	}
	before, err := w.highest(ctx)
	if err != nil {
		return "", err
	}
	if err := sleep(ctx, apart-5*time.Second); err != nil {
		return "", err
	}
	after, err := w.highest(ctx)
	if err != nil {
		return "", err
	}
	if after > before {
		return "", fmt.Errorf("the halves went on from height %d to %d: the network was not cut", before, after)
	}
	w.wan.cut()
	healed := time.Now()
	if err := await(ctx, 2*time.Minute, "the network makes blocks", func() error {
		h, err := w.highest(ctx)
		if err == nil && h <= after {
			err = fmt.Errorf("it is at height %d", h)
		}
		return err
	}); err != nil {
		return "", errors.Join(err, w.linked(ctx, 0, w.nodes...))
	}
	next := time.Since(healed)
	// A link over TCP that lived through the cut may have to wait for a keep-alive to fail, as between stock nodes.
	for _, n := range w.nodes {
		if err := n.reach(ctx, after+1, 2*time.Minute); err != nil {
			return "", err
		}
	}
	all := time.Since(healed)
	note, err := recovered(ctx, w, w.nodes[0])
	return fmt.Sprintf("next block %.1f s after the heal, at all nodes after %.1f s, %s", next.Seconds(), all.Seconds(),
		note), err
}

// highest returns the height of the node that is furthest.
func (w *network) highest(ctx context.Context) (most int64, _ error) {
	for _, n := range w.nodes {
		h, err := n.height(ctx)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", n.name, err)
		}
		most = max(most, h)
	}
	return most, nil
}
