package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// foreign lets nodes of another chain dial ours for 15 s. They never appear in a /net_info.
func foreign(ctx context.Context, w *network) (string, error) {
	kinds := []kind{stock}
	for _, n := range w.nodes {
		if n.kind.ours() {
			kinds = append(kinds, both)
			break
		}
	}
	if w.bins.libp2p {
		for _, n := range w.nodes {
			if n.speaksQUIC() {
				kinds = append(kinds, libp2p)
				break
			}
		}
	}
	other, err := newNetwork(ctx, filepath.Join(w.dir, "other"), w.bins, plan{kinds: kinds})
	if err != nil {
		return "", err
	}
	defer other.end()
	own := other.nodes
	other.nodes = append(append([]*node(nil), own...), w.nodes...) // it dials all of ours too
	for _, n := range own {
		if err := other.configure(n); err != nil {
			return "", err
		}
	}
	other.nodes = own
	if err := start(own...); err != nil {
		return "", err
	}
	looks := 0
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); looks++ {
		for _, n := range w.nodes {
			info, err := n.netInfo(ctx)
			if err != nil {
				return "", fmt.Errorf("%s: %w", n.name, err)
			}
			for _, p := range info.Peers {
				for _, f := range own {
					if p.NodeInfo.ID == f.id {
						return "", fmt.Errorf("/net_info of %s has %s (%c), a node of the chain %s", n.name, f.id,
							f.kind, other.chain)
					}
				}
			}
		}
		if err := sleep(ctx, 250*time.Millisecond); err != nil {
			return "", err
		}
	}
	for _, f := range own { // they tried
		if err := f.alive(); err != nil {
			return "", err
		}
	}
	_, err = judge(ctx, w)
	return fmt.Sprintf("%d foreign nodes, %d looks at each /net_info", len(own), looks), err
}
