package peers

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// How long a peer or an address is left alone where that is no failure, so that it does not grow.
const (
	fullBackoff      = 30 * time.Second // the peer has no room for us
	duplicateBackoff = 3 * time.Second  // the peer sees another link of ours, which we do not have (any more)
	evictedBackoff   = 5 * time.Minute  // the peer gave its slot to a better one; the two must not take turns
	blockedBackoff   = time.Minute      // a ban or a limit forbids the dial for now
)

// recently is how long after its last link a peer's backoff is bounded by MaxRecentBackoff.
const recently = 24 * time.Hour

// Failures of a peer whose link has ended less than justNow ago count up to justNowFailures, after which it is dialed
// every half a minute. Most peers that vanish restart, or are behind a cut that ends.
const (
	justNow         = 10 * time.Minute
	justNowFailures = 6
)

// isolatedFailures is up to where failures count while we have no link at all. The fault may well be ours (a cable, a
// router): when it is mended we want peers within seconds, and still know all of them. The store calls an address dead
// after one more.
const isolatedFailures = 4

// countFailure adds a failure to those in a row and returns the backoff that follows.
func (t *table) countFailure(failures *uint32, rec *peerstore.Record, now time.Time) time.Duration {
	n, most := *failures, uint32(math.MaxUint32)
	if t.isolated() {
		most = isolatedFailures
	} else if !rec.LastConnected.IsZero() && now.Sub(rec.LastDisconnected) < justNow {
		most = justNowFailures
	}
	n = min(n, most-1) + 1
	*failures = max(*failures, n)
	return exponential(n, t.cfg.MinBackoff, t.maxBackoff(rec, now), t.rng)
}

// maxBackoff returns the longest backoff of a peer. A trusted peer is never left for long. A peer that was connected
// recently is dialed often enough that a network which was cut in two soon becomes one again.
func (t *table) maxBackoff(rec *peerstore.Record, now time.Time) time.Duration {
	switch {
	case rec.Trusted:
		return min(t.cfg.MaxBackoff, t.cfg.MaxTrustedBackoff)
	case !rec.LastConnected.IsZero() && now.Sub(rec.LastConnected) < recently:
		return min(t.cfg.MaxBackoff, t.cfg.MaxRecentBackoff)
	}
	return t.cfg.MaxBackoff
}

// backoff returns a backoff of about d, within the bounds of the peer.
func (t *table) backoff(rec *peerstore.Record, d time.Duration, now time.Time) time.Duration {
	d = max(d, t.cfg.MinBackoff)
	return min(d+jitter(d/4, t.rng), t.maxBackoff(rec, now))
}

// unpredictable returns a time between half of d and one and a half: remotes must not know it.
func (t *table) unpredictable(d time.Duration) time.Duration { return d/2 + jitter(d, t.rng) }

// exponential returns the backoff after failures in a row: it doubles from least to most. Jitter of up to a quarter
// keeps peers that failed together from being dialed together for ever; it never leaves the bounds.
func exponential(failures uint32, least, most time.Duration, rng *rand.Rand) time.Duration {
	d := least
	for i := uint32(1); i < failures && d < most; i++ {
		d *= 2
	}
	if d >= most {
		return max(least, most-jitter(most/4, rng))
	}
	return min(d+jitter(d/4, rng), most)
}

func jitter(most time.Duration, rng *rand.Rand) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(most)))
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
