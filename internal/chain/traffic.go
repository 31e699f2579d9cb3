package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// traffic sends transactions through the nodes of a network in turn, and notes how many came into blocks.
type traffic struct {
	w         *network
	committed atomic.Int64
	mu        sync.Mutex
	last      time.Time     // when a transaction was committed last
	gap       time.Duration // the longest time between two
	stop      func()
	wait      sync.WaitGroup
}

func newTraffic(ctx context.Context, w *network) *traffic {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{w: w, last: time.Now(), stop: cancel}
	for i := range 2 { // so that one waits at a node that does not run
		t.wait.Go(func() {
			for turn := i; ctx.Err() == nil; turn++ {
				n := w.nodes[turn%len(w.nodes)]
				if _, err := n.commit(ctx, transaction(n.name, 0)); err == nil {
					t.commit()
				} else {
					_ = sleep(ctx, 100*time.Millisecond)
				}
			}
		})
	}
	return t
}

func (t *traffic) commit() {
	t.committed.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gap = max(t.gap, time.Since(t.last))
	t.last = time.Now()
}

// end stops the traffic and returns what it saw.
func (t *traffic) end() string {
	t.stop()
	t.wait.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d transactions, at most %.1f s between two", t.committed.Load(), t.gap.Seconds())
}
