package peerstore

import "time"

// expired says that a learned peer is to be forgotten: it was neither seen nor heard of for too long, or nothing of it answers.
func (b *Book) expired(e *entry) bool {
	if e.is(kept | busy) {
		return false
	}
	return b.unseen(e) || e.failures >= attemptsUntried && b.hopeless(e)
}

// How often the dials of an address must fail in a row until we do not try it again: one that never worked, and one that has not worked for a week
// (a link that the peer began counts as well). Whoever reports failures while this machine has no network must see to it that they stay below: peers.Manager does.
const (
	attemptsUntried = 10
	attemptsTried   = 20
)

// hopeless says that all addresses of e have failed too often. What the operator configured is never hopeless.
func (b *Book) hopeless(e *entry) bool {
	if e.first.source == 0 || e.is(private) {
		return false
	}
	var linked int64
	if e.extra != 0 {
		linked = b.extras.at(e.extra - 1).lastConnected
	}
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		last := max(k.lastWorked, linked)
		if k.failures < attemptsUntried || last != 0 && (k.failures < attemptsTried || b.now-last < 7*day) || b.sources.at(k.source).Kind == SourceConfig {
			return false
		}
	}
	return true
}

// unseen says that a peer was neither seen nor heard of for Limits.Expiry: see Record.LastSeen.
func (b *Book) unseen(e *entry) bool {
	limit := b.now - int64(b.limits.Expiry)
	if e.firstSeen > limit || e.first.lastHeard > limit {
		return false
	}
	if e.extra != 0 {
		if x := b.extras.at(e.extra - 1); max(x.lastConnected, x.lastDisconnected) > limit {
			return false
		}
	}
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		if max(k.lastHeard, k.lastWorked) > limit {
			return false
		}
	}
	return true
}

// sweepStep is how many slots one call looks at for expired peers, at most every sweepEvery: a hand goes around the book, so no index by age is needed.
const (
	sweepStep  = 4
	sweepEvery = int64(time.Millisecond)
)

func (b *Book) sweep() {
	if since := b.now - b.swept; since >= 0 && since < sweepEvery {
		return
	}
	b.swept = b.now
	for range min(sweepStep, b.entries.next) {
		if b.hand >= b.entries.next {
			b.hand = 0
		}
		if e := b.at(b.hand); e.is(live) && b.expired(e) {
			b.remove(b.hand, e)
		}
		b.hand++
	}
}
