package host

import (
	"context"
	"sync"
)

// ServeParallel is Serve with up to n handlers at once. Those of one peer run one after the other, in the order of its
// messages; peers take turns. So a handler that blocks holds up its peer alone, as long as fewer than n block. The
// first handler that fails or panics ends the context of the others; ServeParallel returns when all have returned. It
// keeps n goroutines.
func (c *Channel) ServeParallel(ctx context.Context, n int, handle func(context.Context, Envelope) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range max(n, 1) {
		wg.Go(func() {
			if err := c.work(ctx, handle); err != nil {
				cancel(err)
			}
		})
	}
	select {
	case <-ctx.Done():
	case <-c.host.tasks.stopped:
		cancel(ErrStopped)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// work serves messages until ctx ends or handle fails.
func (c *Channel) work(ctx context.Context, handle func(context.Context, Envelope) error) (err error) {
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked(p)
		}
	}()
	for ctx.Err() == nil {
		e, ib, ok := c.next(true)
		if !ok {
			select {
			case <-c.wake:
			case <-ctx.Done():
			}
			continue
		}
		if err := c.handleHeld(ctx, ib, e, handle); err != nil {
			return err
		}
	}
	return nil
}

// handleHeld handles a message of an inbox that next has held, and gives that back.
func (c *Channel) handleHeld(ctx context.Context, ib *inbox, e Envelope,
	handle func(context.Context, Envelope) error,
) error {
	defer c.giveBack(ib)
	return handle(ctx, e)
}
