package memory

import (
	"math/rand/v2"
	"time"
)

// Conditions are the properties of a path. The zero Conditions deliver at once.
type Conditions struct {
	// Latency is how long a byte takes one way. A dial takes one round trip.
	Latency time.Duration
	// Jitter is the most that is added to Latency, evenly distributed. Bytes stay in order.
	Jitter time.Duration
	// Bandwidth is how many bytes a second a connection carries each way; 0 means any number.
	Bandwidth int64
	// Loss is the share of packets (of 1,460 bytes) that are lost, 0 to 1. In a byte stream, loss is delay: a lost
	// packet comes after a retransmission timeout (200 ms or two latencies, doubled at each loss in a row), and what
	// was sent after it waits for it.
	Loss float64
	// Down holds everything up until it is false again: see Stall.
	Down bool
}

const (
	packet     = 1460 // bytes of a TCP segment on Ethernet
	mostLosses = 6    // of one packet, in a row
)

func (c Conditions) clamped() Conditions {
	c.Latency, c.Jitter, c.Bandwidth = max(c.Latency, 0), max(c.Jitter, 0), max(c.Bandwidth, 0)
	c.Loss = min(max(c.Loss, 0), 1)
	return c
}

// instant reports whether bytes need no clock.
func (c *Conditions) instant() bool { return *c == Conditions{} }

// random reports whether chance plays a part.
func (c *Conditions) random() bool { return c.Jitter > 0 || c.Loss > 0 }

// transit returns how long one packet is under way. rng may be nil when chance has no part.
func (c *Conditions) transit(rng *rand.Rand) time.Duration {
	d := c.Latency
	if c.Jitter > 0 {
		d += time.Duration(rng.Int64N(int64(c.Jitter) + 1))
	}
	if c.Loss > 0 {
		timeout := max(retransmit, 2*(c.Latency+c.Jitter))
		for range mostLosses {
			if rng.Float64() >= c.Loss {
				break
			}
			d += timeout
			timeout *= 2
		}
	}
	return d
}

// chunk returns how many bytes are delivered together at most.
func (c *Conditions) chunk(n int) int {
	switch {
	case c.Loss > 0:
		return min(n, packet)
	case c.Bandwidth > 0:
		return min(n, 4*packet)
	}
	return n
}

// sending returns how long n bytes occupy the sender's line.
func (c *Conditions) sending(n int) time.Duration {
	if c.Bandwidth <= 0 {
		return 0
	}
	return time.Duration(float64(n) / float64(c.Bandwidth) * float64(time.Second))
}
