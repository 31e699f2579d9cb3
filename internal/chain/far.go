package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// planFar puts each validator in a place of its own, in five regions that are 20 to 250 ms apart.
func planFar(p *plan) {
	p.places = true
	p.far = func(from, to int) time.Duration { return emunet.OneWay(from%emunet.Regions, to%emunet.Regions) }
}

// far measures a network whose packets take their time: blocks for a minute and a half; then how long transactions
// take, one at a time.
func far(ctx context.Context, w *network) (string, error) {
	if err := sleep(ctx, 10*time.Second); err != nil {
		return "", err
	}
	rate, err := w.rate(ctx, 90*time.Second)
	if err != nil {
		return "", err
	}
	took, err := w.commits(ctx, 10)
	if err != nil {
		return "", err
	}
	w.measured("blocks a minute", rate)
	w.measured("commit of a transaction, p50, ms", float64(took.Milliseconds()))
	return fmt.Sprintf("%.1f blocks/min, commit %v", rate, took.Round(time.Millisecond)), nil
}

// commits sends transactions, one at a time and each to another node, and returns the median of how long they take.
func (w *network) commits(ctx context.Context, count int) (time.Duration, error) {
	var took []time.Duration
	for i := range count {
		began := time.Now()
		n := w.nodes[i%len(w.nodes)]
		if _, err := n.commit(ctx, transaction(n.name, 0)); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[count/2], nil
}
