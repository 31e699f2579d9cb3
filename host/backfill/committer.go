package backfill

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// committer verifies and stores items in order, on a goroutine of its own. After a failure it waits for take.
type committer struct {
	store  Store
	verify Verify
	more   chan struct{} // capacity 1: there may be items

	mu      sync.Mutex // guards what follows
	queue   []work     // queue[0] is at work
	done    int        // since the last take
	bytes   uint64     // of these
	failure error      // of queue[0]; nil if there is none
}

// queued is how many items the committer is given ahead, so that it need not wait for them.
const queued = 256

func newCommitter(store Store, verify Verify) *committer {
	return &committer{store: store, verify: verify, more: make(chan struct{}, 1)}
}

// run works until ctx ends. signal is called when there is something to take, or little left to do.
func (c *committer) run(ctx context.Context, signal func()) {
	told := time.Now()
	for {
		c.mu.Lock()
		idle := len(c.queue) == 0 || c.failure != nil
		var w work
		if !idle {
			w = c.queue[0]
		}
		c.mu.Unlock()
		if idle {
			select {
			case <-c.more:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := c.commit(ctx, w)
		c.mu.Lock()
		if err != nil {
			c.failure = err
		} else {
			c.queue[0] = work{}
			c.queue = c.queue[1:]
			c.done++
			c.bytes += uint64(len(w.item))
		}
		tell := err != nil || len(c.queue) == 0 || len(c.queue)%(queued/4) == 0 || time.Since(told) > tellEvery/2
		c.mu.Unlock()
		if tell {
			told = time.Now()
			signal()
		}
	}
}

// commit verifies and stores an item. A panic of either is an error.
func (c *committer) commit(ctx context.Context, w work) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the verifier or the store panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.verify != nil {
		if err := c.verify(ctx, w.height, w.item); err != nil {
			return err
		}
	}
	has, err := c.store.Has(ctx, w.height)
	if err != nil || has { // somebody else has stored it meanwhile
		return err
	}
	return c.store.Put(ctx, w.height, w.item)
}

// take returns what was done since the last call, and why the item after that has failed. What waits behind a failure
// is forgotten.
func (c *committer) take() (done int, bytes uint64, failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done, bytes, failure = c.done, c.bytes, c.failure
	c.done, c.bytes, c.failure = 0, 0, nil
	if failure != nil {
		c.queue = nil
	}
	return done, bytes, failure
}

// room returns how many items give takes.
func (c *committer) room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return queued - len(c.queue)
}

// give adds items behind those that wait.
func (c *committer) give(items []work) {
	if len(items) == 0 {
		return
	}
	c.mu.Lock()
	c.queue = append(c.queue, items...)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}
