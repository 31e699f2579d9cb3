package pex

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// requestInterval is how often a peer may ask after its two free requests: CometBFT's ensurePeersPeriod / 3.
	requestInterval = 10 * time.Second
	// askMargin keeps our own requests clear of that bound, whatever the clocks and the network do.
	askMargin = 500 * time.Millisecond
	// secondAsk is how soon we use the second free request. The first often comes too early: nodes that start together know nobody yet.
	secondAsk = time.Second
	// eagerAsks are made as soon as the peer tolerates them; after those, calmInterval is between two (CometBFT's ensurePeersPeriod).
	eagerAsks    = 5
	calmInterval = 30 * time.Second
	// routineInterval is between two requests to a peer while we need no peers, to keep what we know fresh.
	routineInterval = 5 * time.Minute
	// answerTime is how long we wait for an answer before we ask again.
	answerTime = 15 * time.Second
	// visitTime is how long a seed lets a visitor stay that asks nothing, and stays with one that answers nothing.
	visitTime = time.Minute
	never     = 100 * 365 * 24 * time.Hour
	// maxOutstanding requests may wait for an answer.
	maxOutstanding = 3
	// debtTime is how long the answer of a peer that went may still come out of its inbox, and maxDebts of how many such peers we know.
	debtTime = 10 * time.Second
	maxDebts = 256
	// earlyTime is how long a message may wait for the news that its sender is up, and maxEarly how many may.
	earlyTime = 5 * time.Second
	maxEarly  = 64
	// maxStrikes is the misdeed that ends the link.
	maxStrikes = 3

	// A seed keeps a visitor for seedLinger after its answer, and for seedWait where the visitor owes us an answer.
	seedLinger = 250 * time.Millisecond
	seedWait   = 3 * time.Second
	// seedVisit is how long a seed's own visits last: a link must live for a while before it shows that its address works.
	seedVisit = 15 * time.Second
)

// peer is what the loop keeps of one that is up.
type peer struct {
	id      transport.NodeID
	place   place
	inbound bool
	trusted bool
	since   time.Time // when it came up
	strikes int       // misdeeds on this link
	leaving bool      // its link is being ended: nothing more is said or heard

	// What it asks of us.
	requests int       // that were answered
	stamp    time.Time // of the last of them, from the second on
	done     time.Time // of a seed's visitor: when it was answered

	// What we ask of it.
	asks        int
	outstanding int // without an answer
	askedAt     time.Time
	answeredAt  time.Time
	earliest    time.Time // no request before that: the peer would not like it
	routine     time.Time // a request at that time even if we need no peers
}

// mayAsk says whether a request that comes now is in time, and counts it. The rule is CometBFT's: the first is free and not even
// timed, the second free, and then one per requestInterval.
func (p *peer) mayAsk(now time.Time) bool {
	if p.requests >= 2 && now.Sub(p.stamp) < requestInterval {
		return false
	}
	p.requests++
	p.stamp = now
	return true
}

// nextAsk is when to send the next request, given whether we need peers.
func (p *peer) nextAsk(need bool) time.Time {
	switch {
	case p.outstanding >= maxOutstanding: // it does not answer
		return p.since.Add(never)
	case p.outstanding > 0:
		return p.askedAt.Add(answerTime)
	case need:
		return p.earliest
	case p.routine.Before(p.earliest):
		return p.earliest
	}
	return p.routine
}

// schedule sets when the next request may go, counted from now: from the last answer (so that the delay of the network does not shorten the interval
// that the remote sees) or from a request that is still without one.
func (p *peer) schedule(now time.Time, jitter func(time.Duration) time.Duration) {
	switch {
	case p.asks == 1:
		p.earliest = now.Add(secondAsk + jitter(secondAsk))
	case p.asks < eagerAsks:
		p.earliest = now.Add(requestInterval + askMargin + jitter(requestInterval/2))
	default:
		p.earliest = now.Add(calmInterval/2 + askMargin + jitter(calmInterval))
	}
	p.routine = now.Add(routineInterval/2 + jitter(routineInterval))
}

// hangUpAt is when a seed ends the link.
func (p *peer) hangUpAt() time.Time {
	switch {
	case p.inbound && p.done.IsZero(), !p.inbound && p.answeredAt.IsZero():
		return p.since.Add(visitTime)
	case p.inbound && p.outstanding > 0:
		return p.done.Add(seedWait)
	case p.inbound:
		return p.done.Add(seedLinger)
	}
	return p.since.Add(seedVisit)
}
