package signer

import "time"

// Intervals at which a trouble that goes on is told again.
const (
	firstAgain   = 10 * time.Second
	longestAgain = 10 * time.Minute
)

// trouble decides when the log is told of a failure that goes on: at once, and then at growing intervals.
type trouble struct {
	began, again time.Time // began is zero while there is none
	every        time.Duration
	calls        int // that failed
}

// failed counts a failure. It reports whether to tell it, since when there is trouble and how many calls have failed.
func (t *trouble) failed(now time.Time) (since time.Duration, calls int, tell bool) {
	if t.calls++; t.began.IsZero() {
		*t = trouble{began: now, again: now, every: firstAgain, calls: 1}
	}
	if now.Before(t.again) {
		return 0, 0, false
	}
	t.again = now.Add(t.every)
	t.every = min(2*t.every, longestAgain)
	return now.Sub(t.began), t.calls, true
}

// over ends the trouble. It reports whether there was one, and for how long.
func (t *trouble) over(now time.Time) (since time.Duration, was bool) {
	if t.began.IsZero() {
		return 0, false
	}
	since = now.Sub(t.began)
	*t = trouble{}
	return since, true
}
