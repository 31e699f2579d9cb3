package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// migrated takes a running network from stock nodes to ours, one node a time, while transactions flow: first each node
// becomes one of ours that speaks both wires, then each gives up MConn.
func migrated(ctx context.Context, w *network) (string, error) {
	t := newTraffic(ctx, w)
	defer t.end()
	w.show(ctx, "before")
	for _, to := range []kind{both, quic} {
		for _, n := range w.nodes {
			if n.kind == to {
				continue
			}
			before := t.committed.Load()
			from := n.kind
			if err := w.become(ctx, n, to); err != nil {
				return "", fmt.Errorf("%s goes from %c to %c: %w", n.name, from, to, err)
			}
			w.show(ctx, fmt.Sprintf("%s went from %c to %c", n.name, from, to))
			if err := await(ctx, time.Minute, "transactions flow", func() error {
				if t.committed.Load() < before+3 {
					return fmt.Errorf("%d since", t.committed.Load()-before)
				}
				return nil
			}); err != nil {
				return "", err
			}
		}
		f, err := judge(ctx, w)
		if err != nil {
			return "", err
		}
		fmt.Printf("     all nodes are %c: %v\n", to, f)
	}
	return t.end(), nil
}

// become restarts a node as another kind. The others keep their configuration until it is their turn.
func (w *network) become(ctx context.Context, n *node, to kind) error {
	if err := n.stop(); err != nil {
		return err
	}
	n.kind = to
	if err := w.configure(n); err != nil {
		return err
	}
	if err := n.start(); err != nil {
		return err
	}
	if err := w.linked(ctx, time.Minute, w.nodes...); err != nil {
		return err
	}
	h, err := w.highest(ctx)
	if err != nil {
		return err
	}
	if err := n.reach(ctx, h+1, time.Minute); err != nil {
		return err
	}
	return w.current(ctx)
}

// show prints what each node says of its links.
func (w *network) show(ctx context.Context, title string) {
	fmt.Printf("     %s\n", title)
	for _, n := range w.nodes {
		info, err := n.netInfo(ctx)
		if err != nil {
			fmt.Printf("       %s (%c): %v\n", n.name, n.kind, err)
			continue
		}
		var peers []string
		var by map[string]string
		if n.kind.ours() {
			by, _ = n.transports(ctx) // what is missing is not shown
		}
		for _, p := range info.Peers {
			direction := "in"
			if p.Outbound {
				direction = "out"
			}
			peers = append(peers, strings.TrimSpace(p.NodeInfo.Moniker+" "+direction+" "+by[p.NodeInfo.ID]))
		}
		fmt.Printf("       %s (%c): %d peers: %s\n", n.name, n.kind, len(info.Peers), strings.Join(peers, ", "))
	}
}
