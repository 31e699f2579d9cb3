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
	// secondAsk is the pause before the second free request. The first often comes too early: nodes that start together
	// know no peers yet.
	secondAsk = time.Second
	// The first eagerAsks requests are sent as soon as the peer tolerates them, later ones every calmInterval
	// (CometBFT's ensurePeersPeriod).
	eagerAsks    = 5
	calmInterval = 30 * time.Second
	// routineInterval is the time between two requests while we need no peers, which keep our knowledge fresh.
	routineInterval = 5 * time.Minute
	// answerTime is how long we wait for an answer before we ask again.
	answerTime = 15 * time.Second
	// visitTime is how long a seed waits for a visitor to ask, or for a peer that it visits to answer.
	visitTime = time.Minute
	never     = 100 * 365 * 24 * time.Hour
	// maxOutstanding bounds the requests without an answer.
	maxOutstanding = 3
	// pendingTime is how long the answer of a peer that has gone may stay in our inbox, and maxPending bounds such
	// peers.
	pendingTime = 10 * time.Second
	maxPending  = 256
	// earlyTime is how long a message waits for the news that its sender is up, and maxEarly bounds such messages.
	earlyTime = 5 * time.Second
	maxEarly  = 64
	// maxStrikes is the number of misdeeds that ends a link.
	maxStrikes = 3

	// A seed keeps a visitor for seedLinger after answering it, or for seedWait while the visitor has not answered us.
	seedLinger = 250 * time.Millisecond
	seedWait   = 3 * time.Second
	// seedVisit is how long a seed's own visits last: only a link that lives for a while shows that its address works.
	seedVisit = 15 * time.Second
)

// peer is the loop's state of a peer that is up.
type peer struct {
	id      transport.NodeID
	place   place
	inbound bool
	trusted bool
	since   time.Time // when it came up
	strikes int       // misdeeds on this link
	leaving bool      // its link is ending: send nothing, ignore what it sends

	// What it asks of us.
	requests int       // answered ones
	stamp    time.Time // when the last one was answered
	done     time.Time // when a seed has answered this visitor

	// What we ask of it.
	asks        int
	outstanding int // without an answer
	askedAt     time.Time
	answeredAt  time.Time
	earliest    time.Time // when the peer tolerates the next request
	routine     time.Time // when to ask even if we need no peers
}

// mayAsk reports whether the peer may ask now, and counts the request. The rule is CometBFT's: two free requests, then
// one per requestInterval.
func (p *peer) mayAsk(now time.Time) bool {
	if p.requests >= 2 && now.Sub(p.stamp) < requestInterval {
		return false
	}
	p.requests++
	p.stamp = now
	return true
}

// nextAsk returns when to send the next request, given whether we need peers.
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

// schedule sets the times of the next request, counted from now. now is when the last answer arrived, so that network
// delay does not shorten the interval that the remote sees, or when an unanswered request was sent.
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

// hangUpAt returns when a seed ends the link.
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
