package host

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// calls are the calls of Requests that wait for answers, and the requests that are handled, by peering. It knows
// neither frames nor types.
type calls struct {
	most, mostPeer         int // calls that wait
	handlers, peerHandlers int // requests that are handled

	wake chan struct{} // capacity 1: watch looks again

	mu       sync.Mutex // guards what follows; nothing is called under it
	closed   bool       // Run has ended
	peers    map[uint64]*requestPeer
	due      callHeap
	waiting  int
	handling int
	cut      []*requestPeer // whose peerings are down; watch ends their calls
	armed    time.Time      // when watch looks next by itself; zero: never
}

// requestPeer is a peering with which there were requests. It is forgotten with it. calls.mu guards it.
type requestPeer struct {
	peering  *Peering
	last     uint64           // call
	waiting  map[uint64]*call // by number
	gone     []goneCall       // calls that have ended without an answer, which may still come; oldest first
	stale    uint64           // of calls up to this one it is not known any more whether they were answered
	handling int
	ctx      context.Context // of the handlers; nil before the first
	cancel   context.CancelFunc
}

// goneCall is a call that has ended without an answer.
type goneCall struct {
	number uint64
	sent   time.Time
}

// maxGone bounds the gone calls of a peering that are remembered.
const maxGone = 1024

// call is a request that waits for its answer. calls.mu guards it.
type call struct {
	peer     *requestPeer
	number   uint64
	sent     time.Time
	deadline time.Time
	at       int // in calls.due
	end      func(Envelope, requestFrame, error)
}

// callHeap is a container/heap; the call that is due first is first.
type callHeap []*call

func (h callHeap) Len() int           { return len(h) }
func (h callHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h callHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *callHeap) Push(x any) {
	c := x.(*call)
	c.at = len(*h)
	*h = append(*h, c)
}
func (h *callHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// of returns the state of a peering, and makes it if there is none. mu is held; the caller calls onEnd afterwards if it
// is fresh.
func (cs *calls) of(p *Peering) (rp *requestPeer, fresh bool) {
	if rp = cs.peers[p.number]; rp != nil {
		return rp, false
	}
	rp = &requestPeer{peering: p, waiting: map[uint64]*call{}}
	if cs.peers == nil {
		cs.peers = map[uint64]*requestPeer{}
	}
	cs.peers[p.number] = rp
	return rp, true
}

// add takes a call to a peering. Its end is called once, without a lock, by a goroutine of Run: unless remove takes the
// call out again.
func (cs *calls) add(p *Peering, within time.Duration, end func(Envelope, requestFrame, error)) (*call, error) {
	now := time.Now()
	cs.mu.Lock()
	rp, fresh := cs.of(p)
	switch {
	case cs.closed:
		delete(cs.peers, p.number)
		cs.mu.Unlock()
		return nil, ErrStopped
	case cs.waiting >= cs.most || len(rp.waiting) >= cs.mostPeer:
		if fresh {
			delete(cs.peers, p.number)
		}
		cs.mu.Unlock()
		return nil, ErrTooManyCalls
	}
	rp.last++
	c := &call{peer: rp, number: rp.last, sent: now, deadline: now.Add(within), end: end}
	rp.waiting[c.number] = c
	cs.waiting++
	heap.Push(&cs.due, c)
	sooner := cs.armed.IsZero() || c.deadline.Before(cs.armed)
	cs.mu.Unlock()
	if fresh {
		p.onEnd(cs.hangUp)
	}
	if sooner {
		cs.signal()
	}
	return c, nil
}

func (cs *calls) signal() {
	select {
	case cs.wake <- struct{}{}:
	default:
	}
}

// take ends the waiting of a call. mu is held.
func (cs *calls) take(c *call) {
	delete(c.peer.waiting, c.number)
	heap.Remove(&cs.due, c.at)
	cs.waiting--
}

// remove takes a call out whose answer nobody wants any more, so that its end is not called. It reports false if the
// call has ended. unsent says that the peer has not got the request.
func (cs *calls) remove(c *call, unsent bool) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.peer.waiting[c.number] != c {
		return false
	}
	cs.take(c)
	if !unsent {
		c.peer.leave(c)
	}
	return true
}

// leave remembers a call that has ended without an answer.
func (rp *requestPeer) leave(c *call) {
	if len(rp.gone) >= maxGone {
		rp.stale = max(rp.stale, rp.gone[0].number)
		rp.gone = slices.Delete(rp.gone, 0, 1)
	}
	rp.gone = append(rp.gone, goneCall{c.number, c.sent})
}

// answer is what an answer belongs to.
type answer uint8

const (
	answersCall    answer = iota // one that waits
	answersLate                  // one that has ended without an answer
	answersOld                   // perhaps one that has ended
	answersNothing               // none
)

// answered finds the call of an answer that came over a peering, and ends its waiting. sent is when the request of a
// call was sent that is late. current reports whether the peering is up.
func (cs *calls) answered(peering, number uint64, current bool) (c *call, sent time.Time, is answer) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	rp := cs.peers[peering]
	switch {
	case rp == nil && current:
		return nil, sent, answersNothing
	case rp == nil:
		return nil, sent, answersOld
	}
	if c = rp.waiting[number]; c != nil {
		cs.take(c)
		return c, c.sent, answersCall
	}
	if i := slices.IndexFunc(rp.gone, func(g goneCall) bool { return g.number == number }); i >= 0 {
		sent = rp.gone[i].sent
		rp.gone = slices.Delete(rp.gone, i, i+1)
		return nil, sent, answersLate
	}
	if number <= rp.stale {
		return nil, sent, answersOld
	}
	return nil, sent, answersNothing
}

// enter takes a request of a peering into the handlers; nil if there are too many. ctx is that of Run.
func (cs *calls) enter(ctx context.Context, p *Peering) *requestPeer {
	cs.mu.Lock()
	rp, fresh := cs.of(p)
	if full := cs.closed || cs.handling >= cs.handlers || rp.handling >= cs.peerHandlers; full {
		if fresh {
			delete(cs.peers, p.number)
		}
		cs.mu.Unlock()
		return nil
	}
	if rp.ctx == nil {
		rp.ctx, rp.cancel = context.WithCancel(ctx)
	}
	rp.handling++
	cs.handling++
	cs.mu.Unlock()
	if fresh {
		p.onEnd(cs.hangUp)
	}
	return rp
}

// exit ends what enter has begun.
func (cs *calls) exit(rp *requestPeer) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	rp.handling--
	cs.handling--
}

// hangUp hands a peering that is down to watch.
func (cs *calls) hangUp(p *Peering) {
	cs.mu.Lock()
	if rp := cs.peers[p.number]; rp != nil {
		delete(cs.peers, p.number)
		cs.cut = append(cs.cut, rp)
	}
	cs.mu.Unlock()
	cs.signal()
}

// ending is a call that has ended without an answer, and why.
type ending struct {
	call *call
	err  error
}

// expire ends the calls that are due at now, and those of peerings that are down. next is when it is to be called
// again; zero: not before wake says so.
func (cs *calls) expire(now time.Time) (ended []ending, down []*requestPeer, next time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	down, cs.cut = cs.cut, nil
	for _, rp := range down {
		for _, c := range rp.waiting {
			cs.take(c)
			ended = append(ended, ending{c, ErrNotConnected})
		}
	}
	for len(cs.due) > 0 && !cs.due[0].deadline.After(now) {
		c := cs.due[0]
		cs.take(c)
		c.peer.leave(c)
		ended = append(ended, ending{c, context.DeadlineExceeded})
	}
	if cs.armed = (time.Time{}); len(cs.due) > 0 {
		cs.armed = cs.due[0].deadline
	}
	return ended, down, cs.armed
}

// watch ends calls when they are due or their peerings are down, until ctx ends. There is one timer for all.
func (cs *calls) watch(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		ended, down, next := cs.expire(time.Now())
		for _, rp := range down {
			if rp.cancel != nil {
				rp.cancel()
			}
		}
		for _, e := range ended {
			e.call.end(Envelope{}, requestFrame{}, e.err)
		}
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-due:
		case <-cs.wake:
		case <-ctx.Done():
			return
		}
	}
}

// close ends all calls, and lets none begin. The contexts of handlers have ended.
func (cs *calls) close() {
	var ended []*call
	cs.mu.Lock()
	cs.closed = true
	for len(cs.due) > 0 {
		c := cs.due[0]
		cs.take(c)
		ended = append(ended, c)
	}
	peers := slices.Concat(slices.Collect(maps.Values(cs.peers)), cs.cut)
	cs.peers, cs.cut = nil, nil
	cs.mu.Unlock()
	for _, rp := range peers {
		if rp.cancel != nil {
			rp.cancel()
		}
	}
	for _, c := range ended {
		c.end(Envelope{}, requestFrame{}, ErrStopped)
	}
}

// counts returns how many calls wait, and how many requests are handled.
func (cs *calls) counts() (waiting, handling int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.waiting, cs.handling
}

// peeringOf returns the peer's peering, if it serves the channel.
func (c *Channel) peeringOf(id transport.NodeID) (*Peering, error) {
	l := c.host.links.of(id)
	if l == nil {
		return nil, ErrNotConnected
	}
	if !slices.Contains(l.channels, c.desc.ID) {
		return nil, ErrNoSuchChannel
	}
	p := l.peering.Load()
	if p == nil { // it has just ended
		return nil, ErrNotConnected
	}
	return p, nil
}
