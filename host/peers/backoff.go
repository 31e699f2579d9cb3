package peers

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

const (
	// gentlePause is how long a peer rests that has no place for us: it works, so this is no failure and does not grow.
	gentlePause = 30 * time.Second
	// shortPause is how long a peer rests that sees another link of ours which we do not have (any more).
	shortPause = 3 * time.Second
	// evictedPause is how long a peer rests that gave its slot to a better one, so that the two do not take turns.
	evictedPause = 5 * time.Minute
	// blockedPause is how long an address rests that a ban or a limit on connections per IP forbids for now.
	blockedPause = time.Minute
	// lately is how long after its last link a peer's pauses stay within MaxRecentBackoff.
	lately = 24 * time.Hour
)

// backoff is the pause after the given number of failures in a row: it doubles from least to most. Jitter of up to a quarter keeps peers that failed
// together from being dialed together for ever after; it never leaves the bounds.
func backoff(failures uint32, least, most time.Duration, rng *rand.Rand) time.Duration {
	d := least
	for i := uint32(1); i < failures && d < most; i++ {
		d *= 2
	}
	if d >= most {
		return max(least, most-jitter(most/4, rng))
	}
	return min(d+jitter(d/4, rng), most)
}

// pause is a rest of about d.
func pause(d time.Duration, rng *rand.Rand) time.Duration { return d + jitter(d/4, rng) }

func jitter(most time.Duration, rng *rand.Rand) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(most)))
}

// isolatedFailures is how far failures count while we have no link at all: then the fault may well be ours (a cable, a router), and when it is mended we
// want peers within seconds, and to know them all still. The store calls an address dead after one more.
const isolatedFailures = 4

// isolated says that there is no link to anybody; mu is held.
func (m *Manager) isolated() bool { return len(m.links) == 0 }

// countFailure adds a failure to those in a row and returns the backoff that follows; mu is held.
func (m *Manager) countFailure(failures *uint32, rec *peerstore.Record, now time.Time) time.Duration {
	n := *failures
	if m.isolated() {
		n = min(n, isolatedFailures-1) + 1
		*failures = max(*failures, n)
	} else if n < math.MaxUint32 {
		n++
		*failures = n
	}
	return backoff(n, m.cfg.MinBackoff, m.mostBackoff(rec, now), m.rng)
}

// mostBackoff is the longest pause that a peer is given: a trusted one is never left for long, and one that was connected lately is looked for often enough
// that a network which was cut in two becomes one again soon after.
func (m *Manager) mostBackoff(rec *peerstore.Record, now time.Time) time.Duration {
	switch {
	case rec.Trusted:
		return min(m.cfg.MaxBackoff, m.cfg.MaxTrustedBackoff)
	case !rec.LastConnected.IsZero() && now.Sub(rec.LastConnected) < lately:
		return min(m.cfg.MaxBackoff, m.cfg.MaxRecentBackoff)
	}
	return m.cfg.MaxBackoff
}

// pauseFor is pause within the bounds that hold for a peer.
func (m *Manager) pauseFor(rec *peerstore.Record, d time.Duration, now time.Time) time.Duration {
	return min(pause(max(d, m.cfg.MinBackoff), m.rng), m.mostBackoff(rec, now))
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
