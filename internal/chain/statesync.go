package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// planStateSync gives the nodes an application that has snapshots, and adds nodes that will ask for one.
func planStateSync(p *plan) {
	p.app = []string{"-snapshots", "5"}
	p.joiners = joiners(p.kinds)
	p.config = func(_ *node, c *configFile) { c.set("consensus", "timeout_commit", "500ms") }
}

// stateSynced lets nodes join that fetch a snapshot of the application and no old blocks.
func stateSynced(ctx context.Context, w *network) (string, error) {
	for _, n := range w.nodes { // something to restore
		for range 5 {
			if err := n.submit(ctx, transaction(n.name, 100_000)); err != nil {
				return "", err
			}
		}
	}
	if err := w.nodes[0].reach(ctx, 20, time.Minute); err != nil {
		return "", err
	}
	var notes []string
	for _, n := range w.joining {
		took, err := w.stateSync(ctx, n)
		if err != nil {
			return "", err
		}
		notes = append(notes, fmt.Sprintf("%c in %.1f s", n.kind, took.Seconds()))
	}
	f, err := judge(ctx, w)
	return strings.Join(notes, ", ") + ", " + f.String(), err
}

// stateSync starts a node that syncs its state, and returns how long it takes until it makes blocks with the others.
func (w *network) stateSync(ctx context.Context, n *node) (time.Duration, error) {
	h, err := w.nodes[0].height(ctx)
	if err != nil {
		return 0, err
	}
	trusted, err := w.nodes[0].block(ctx, h-8)
	if err != nil {
		return 0, err
	}
	c, err := readConfig(filepath.Join(n.home, "config", "config.toml"))
	if err != nil {
		return 0, err
	}
	c.set("statesync", "enable", true)
	c.set("statesync", "rpc_servers", w.nodes[0].url+","+w.nodes[1].url)
	c.set("statesync", "trust_height", h-8)
	c.set("statesync", "trust_hash", trusted.ID.Hash)
	c.set("statesync", "discovery_time", "5s")
	if err := c.write(); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := n.start(); err != nil {
		return 0, err
	}
	if err := n.reach(ctx, h+1, 2*time.Minute); err != nil {
		return 0, err
	}
	took := time.Since(began)
	s, err := n.status(ctx)
	if err != nil {
		return 0, err
	}
	if s.SyncInfo.Earliest <= 1 {
		return 0, fmt.Errorf("%s has blocks from height %d on: it did not sync a state", n.name, s.SyncInfo.Earliest)
	}
	return took, sameBlock(ctx, w.nodes[0], n, s.SyncInfo.Height) // the snapshot may be younger than h
}
