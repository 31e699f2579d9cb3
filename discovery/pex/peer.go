package pex

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// requestInterval is how often CometBFT lets a peer ask after two free requests: its ensurePeersPeriod / 3.
	requestInterval = 10 * time.Second
	// freeRequests is how many requests we allow a peer beside one per requestInterval: CometBFT's two, and as many
	// that it may have sent before we saw its link.
	freeRequests = 4
	// maxBurst bounds the requests that a peer may send at once, however long it was silent: those of an hour's stall.
	maxBurst = 400
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
	// visitTime is how long a seed waits for a visitor to ask, or for a peer that it visits to answer.
	visitTime = time.Minute
	never     = 100 * 365 * 24 * time.Hour
	// lateTime is how long the answer of a peer that has gone may stay in our inbox.
	lateTime = 10 * time.Second
	// goneTime is how long we remember a peer that has gone, and maxGone bounds such peers.
	goneTime = 2 * time.Hour
	maxGone  = 1024
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
	requests int
	done     time.Time // when a seed has answered this visitor

	// What we ask of it.
	asks       int
	open       bool // the last request has no answer
	answeredAt time.Time
	earliest   time.Time // when the peer tolerates the next request
	routine    time.Time // when to ask even if we need no peers
	late       time.Time // until then an answer to a request on its previous link may come
}

// mayAsk counts a request of the peer, and reports whether it has sent no more than the rule allows since it came up:
// a bucket of maxBurst tokens, which time fills. It does not matter when we read the requests: they may have waited
// while our process, or another service of the link, was busy or stopped.
func (p *peer) mayAsk(now time.Time) bool {
	allowed := freeRequests + int(elapsed(p.since, now)/requestInterval)
	p.requests = max(p.requests, allowed-maxBurst) + 1
	return p.requests <= allowed
}

// elapsed returns the time that has passed between two times. The monotonic clock stands still while the machine
// sleeps, and the wall clock may be set back, so the longer of both counts.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// nextAsk returns when to send the next request, given whether we need peers. While one is open that is never: if the
// peer is only stalled, it reads both together, and CometBFT bans us for that.
func (p *peer) nextAsk(need bool) time.Time {
	switch {
	case p.open:
		return p.since.Add(never)
	case need, p.routine.Before(p.earliest):
		return p.earliest
	}
	return p.routine
}

// schedule sets the times of the next request, counted from now. now is when the last answer arrived, so that network
// delay does not shorten the interval that the remote sees, or when a request could not be sent.
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
	case p.inbound && p.open:
		return p.done.Add(seedWait)
	case p.inbound:
		return p.done.Add(seedLinger)
	}
	return p.since.Add(seedVisit)
}
