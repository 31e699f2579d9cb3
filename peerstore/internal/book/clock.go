package book

import (
	"math"
	"time"
)

// never is later than every time. A peer that is due forever waits for its ban to be lifted; one that is due never does
// not wait.
const (
	never   = math.MaxInt64
	forever = never - 1
)

var firstTime, lastTime = time.Unix(0, 1), time.Unix(0, never)

// Nano returns t in nanoseconds since 1970, as far as they reach: 1 for earlier times, but 0 for the zero time.
func Nano(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Before(firstTime):
		return 1
	case t.After(lastTime):
		return never
	}
	return t.UnixNano()
}

// TimeOf undoes Nano.
func TimeOf(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// Bounds on the work that one call does for the passing of time, so that no caller waits long when a great many peers
// become due at once. A caller that asks for a due peer does more of it than others.
const (
	someMoves = 16
	manyMoves = 256
)

// advanceClock sets the time and does a bounded part of what time alone changes: bans end, peers expire or become due,
// contests are decided. The time may go back: callers' times arrive a little out of order, and clocks are set.
func (c *catalog) advanceClock(now time.Time, moves int) {
	c.now = Nano(now)
	c.endBans()
	c.sweep()
	c.runDue(moves)
	if len(c.contests) > 0 {
		c.judge()
	}
}
