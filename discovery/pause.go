package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pause waits for d, give or take a tenth, so that nodes which started together do not ask together for ever. It
// reports false if ctx ends first.
func Pause(ctx context.Context, d time.Duration) bool {
	if d > 10 {
		d += rand.N(d/5) - d/10
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
