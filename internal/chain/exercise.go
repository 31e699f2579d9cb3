package main

import (
	"context"
	"time"
)

// exercise is something that happens to a network, and is judged.
type exercise struct {
	name string
	// ours says that it makes nodes of ours out of others.
	ours bool
	// plan changes the network that the exercise needs. Exercises without one share a network.
	plan func(*plan)
	// run returns what to print beside the verdict.
	run func(context.Context, *network) (string, error)
}

// exercises lists all of them.
var exercises = []exercise{
	{name: "basic", run: basic},
	{name: "kill", run: killed},
	{name: "pause", run: paused},
	{name: "foreign", run: foreign},
	{name: "evidence", run: evident},
	{name: "cutoff", run: cutOff},
	{name: "join", plan: planJoin, run: joined},
	{name: "statesync", plan: planStateSync, run: stateSynced},
	{name: "partition", plan: func(p *plan) { p.places = true }, run: partitioned},
	{name: "migrate", ours: true, run: migrated},
	{name: "churn", run: churned},
	{name: "idle", run: idle},
	{name: "far", plan: planFar, run: far},
	{name: "flood", plan: planFlood, run: flood},
	{name: "sync", plan: planSync, run: synced},
	{name: "limited", plan: planLimited, run: synced},
}

// basic judges the network as it is.
func basic(ctx context.Context, w *network) (string, error) {
	f, err := judge(ctx, w)
	return f.String(), err
}

// victim returns the node to which bad things happen: the second, in sqbb a QUIC-only one.
func victim(w *network) *node { return w.nodes[1%len(w.nodes)] }

// killed kills a node with SIGKILL and starts it again three blocks later.
func killed(ctx context.Context, w *network) (string, error) {
	v := victim(w)
	h, err := w.nodes[0].height(ctx)
	if err != nil {
		return "", err
	}
	v.kill()
	if err := w.nodes[0].reach(ctx, h+3, time.Minute); err != nil {
		return "", err
	}
	if err := v.start(); err != nil {
		return "", err
	}
	return recovered(ctx, w, v)
}

// paused stops a node's process for 15 s.
func paused(ctx context.Context, w *network) (string, error) {
	v := victim(w)
	v.pause()
	err := sleep(ctx, 15*time.Second)
	v.resume()
	if err != nil {
		return "", err
	}
	return recovered(ctx, w, v)
}

// recovered waits until a node is with the others again, and judges the network.
func recovered(ctx context.Context, w *network, v *node) (string, error) {
	began := time.Now()
	if err := w.linked(ctx, time.Minute, w.nodes...); err != nil {
		return "", err
	}
	h, err := w.highest(ctx)
	if err != nil {
		return "", err
	}
	if err := v.reach(ctx, h, time.Minute); err != nil {
		return "", err
	}
	if err := w.current(ctx); err != nil {
		return "", err
	}
	back := time.Since(began)
	for _, n := range w.nodes { // some may be behind, or have slept through the last round
		if err := n.reach(ctx, h+2, time.Minute); err != nil {
			return "", err
		}
	}
	f, err := judge(ctx, w)
	return "back after " + back.Round(100*time.Millisecond).String() + ", " + f.String(), err
}
