package book

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
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

// advanceClock sets the time and does a bounded part of what time alone changes: bans end, peers become due, contests
// are decided. The time may go back: callers' times arrive a little out of order, and clocks are set.
func (c *catalog) advanceClock(now time.Time, moves int) {
	was, told := c.now, c.told
	c.now, c.told = Nano(now), now
	passed := now.Sub(told)  // by the monotonic clock, so that callers may be late
	if now == now.Round(0) { // but this time has no reading of it
		passed = max(passed, 0)
	}
	if back := was - c.now + int64(passed); !told.IsZero() && back > setBackFrom {
		c.clockSetBack(was, back)
	}
	c.endBans()
	c.runDue(moves)
	if len(c.contests) > 0 {
		c.judge()
	}
}

// setBackFrom is by how much the clock must go back to have been set: callers' times differ by less.
const setBackFrom = int64(time.Second)

// clockSetBack moves the ends of all that waits with the clock, which was at was and went back: so what waits does not
// wait until that time has come once more. It looks at all peers.
func (c *catalog) clockSetBack(was, back int64) {
	c.worked = [2]int64{}
	for _, e := range c.peers {
		moved := false
		move := func(at *int64) {
			if *at > was && *at != never {
				*at -= back
				moved = true
			}
		}
		move(&e.notBefore)
		move(&e.details.quarantined)
		for i := range e.addresses {
			move(&e.addresses[i].notBefore)
		}
		if moved {
			c.file(e, change{})
			c.changes.note(e)
		}
	}
	for _, bans := range [...][]peerstore.Ban{slices.Collect(maps.Values(c.bans.nodes)),
		slices.Collect(maps.Values(c.bans.nets))} {
		for _, ban := range bans {
			if ban.Since.After(c.told) {
				c.bans.put(ban.Begun(c.told))
			}
		}
	}
}
