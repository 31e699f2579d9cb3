package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// idle measures a network at rest: blocks, CPU time and memory for a minute; then how long transactions take, one at a
// time.
func idle(ctx context.Context, w *network) (string, error) {
	if err := sleep(ctx, 5*time.Second); err != nil {
		return "", err
	}
	var before []time.Duration
	for _, n := range w.nodes {
		cpu, _ := n.process.usage()
		before = append(before, cpu)
	}
	rate, err := w.rate(ctx, time.Minute)
	if err != nil {
		return "", err
	}
	var cpu, mib float64
	for i, n := range w.nodes {
		used, m := n.process.usage()
		cpu += 100 * (used - before[i]).Minutes()
		mib += m
	}
	took, err := w.commits(ctx, 20)
	if err != nil {
		return "", err
	}
	nodes := float64(len(w.nodes))
	w.measured("blocks a minute", rate)
	w.measured("commit of a transaction, p50, ms", float64(took.Milliseconds()))
	w.measured("CPU of a node, % of a core", cpu/nodes)
	w.measured("memory of a node, MiB", mib/nodes)
	return fmt.Sprintf("%.1f blocks/min, commit %v, %.1f %% CPU and %.0f MiB a node", rate,
		took.Round(time.Millisecond), cpu/nodes, mib/nodes), nil
}

// rate returns how many blocks a minute the network makes for a while.
func (w *network) rate(ctx context.Context, d time.Duration) (float64, error) {
	began := time.Now()
	before, err := w.nodes[0].height(ctx)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, d); err != nil {
		return 0, err
	}
	after, err := w.nodes[0].height(ctx)
	return float64(after-before) / time.Since(began).Minutes(), err
}

// planFlood gives the nodes an application whose CheckTx takes 50 ms.
func planFlood(p *plan) { p.app, p.grpc = []string{"-check-tx", "50ms"}, true }

// flood compares the block rate at rest with that while every node's RPC is flooded with transactions.
func flood(ctx context.Context, w *network) (string, error) {
	resting, err := w.rate(ctx, 30*time.Second)
	if err != nil {
		return "", err
	}
	flooding, stop := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer stop()
	for _, n := range w.nodes {
		for range 4 {
			sending.Go(func() {
				for flooding.Err() == nil {
					ctx, cancel := context.WithTimeout(flooding, 10*time.Second)
					err := n.call(ctx, "broadcast_tx_async", map[string]any{"tx": transaction(n.name, 200)}, nil)
					cancel()
					if err != nil { // its mempool is full
						_ = sleep(flooding, 10*time.Millisecond)
					}
				}
			})
		}
	}
	if err := sleep(ctx, 10*time.Second); err != nil {
		return "", err
	}
	flooded, err := w.rate(ctx, time.Minute)
	if err != nil {
		return "", err
	}
	w.measured("blocks a minute at rest", resting)
	w.measured("blocks a minute in the flood", flooded)
	w.measured("%", 100*flooded/resting)
	return fmt.Sprintf("%.1f blocks/min at rest, %.1f in the flood: %.0f %%", resting, flooded,
		100*flooded/resting), nil
}

const (
	syncBlocks = 60
	syncSize   = 4 << 20
)

// planLimited makes blocks of 4 MB and adds a node of the network's own kind, which joins late. MConn links keep their
// limits, 5 MB a second by default; QUIC has none.
func planLimited(p *plan) {
	planLarge(p, syncSize)
	p.joiners = []kind{p.kinds[len(p.kinds)-1]}
}

// planSync is planLimited without limits.
func planSync(p *plan) {
	planLimited(p)
	large := p.config
	p.config = func(n *node, c *configFile) {
		large(n, c)
		c.set("p2p", "send_rate", 1<<30)
		c.set("p2p", "recv_rate", 1<<30)
	}
}

// synced measures how long a node takes that joins late.
func synced(ctx context.Context, w *network) (string, error) {
	top, err := w.fill(ctx, syncBlocks, syncSize)
	if err != nil {
		return "", err
	}
	n := w.joining[0]
	took, err := w.catchUp(ctx, n, top)
	if err != nil {
		return "", err
	}
	w.measured("a late node has all blocks, s", took.Seconds())
	return fmt.Sprintf("%d blocks, %d of them of 4 MB, in %.1f s", top, syncBlocks, took.Seconds()), nil
}
