package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// final is an error that waiting does not cure.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// await calls try, five times a second, until it returns nil. It fails when try fails for good, when the limit is over
// or ctx ends; the error has what try said last.
func await(ctx context.Context, limit time.Duration, what string, try func() error) error {
	end := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if f := (final{}); errors.As(err, &f) {
			return f.error
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v it is not so that %s: %w", limit, what, err)
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// sleep waits for d, or until ctx ends, which is an error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
