package backfill

import (
	"cmp"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// peer is what the scheduler thinks of a peer, from its coming up to its going down.
type peer struct {
	id      transport.NodeID
	known   bool   // it has told its range
	span    Span   // its range, as it told it last
	floor   uint64 // it lacks every height below
	asked   int    // requests in flight
	polling bool   // one of them asks for the range alone

	batch    int           // heights of its next request
	pace     time.Duration // of its answers, smoothed; 0 before the first
	answer   time.Time     // when the last one came
	slow     int           // answers in a row that were overdue
	busy     int           // refusals in a row
	faults   int           // bad items, forgotten with good ones
	accepted int           // good items since a fault was forgotten
	until    time.Time     // it is not asked before
}

// faulty remembers the faults of a peer that has gone, so that it gains nothing by coming back.
type faulty struct {
	faults int
	until  time.Time
}

const (
	slowFirst, slowMost   = time.Second, 30 * time.Second
	busyFirst, busyMost   = 100 * time.Millisecond, 10 * time.Second
	faultFirst, faultMost = 2 * time.Second, 5 * time.Minute
	forgiven              = 64   // good items for which a fault is forgotten
	mostFaulty            = 1024 // peers that have gone
)

// pause is a back-off: first, and twice as long with each further time in a row.
func pause(first, most time.Duration, times int) time.Duration {
	return min(first<<min(max(times-1, 0), 20), most)
}

// up takes a peer that has come up, perhaps again.
func (s *scheduler) up(now time.Time, id transport.NodeID) {
	s.down(id)
	p := &peer{id: id, batch: min(firstBatch, s.cfg.batch)}
	if f, was := s.former[id]; was {
		p.faults, p.until = f.faults, f.until
		delete(s.former, id)
	}
	i, _ := slices.BinarySearchFunc(s.peers, id,
		func(p *peer, id transport.NodeID) int { return cmp.Compare(p.id, id) })
	s.peers = slices.Insert(s.peers, i, p)
	s.calm()
}

// down takes a peer that is gone: its requests will not be answered.
func (s *scheduler) down(id transport.NodeID) {
	i := slices.IndexFunc(s.peers, func(p *peer) bool { return p.id == id })
	if i < 0 {
		return
	}
	p := s.peers[i]
	s.peers = slices.Delete(s.peers, i, i+1)
	for _, r := range s.requests {
		if r.peer == p {
			s.release(r)
			delete(s.requests, r.id)
		}
	}
	if p.faults > 0 {
		if len(s.former) >= mostFaulty {
			clear(s.former)
		}
		s.former[id] = faulty{p.faults, p.until}
	}
}

// has returns how many positions from pos on the peer has, as far as is known.
func (p *peer) has(plan *plan, pos uint64) uint64 {
	h := plan.height(pos)
	switch {
	case h < p.floor || p.known && !p.span.Has(h):
		return 0
	case plan.down && p.known:
		return h - max(p.floor, p.span.From) + 1
	case plan.down:
		return h - p.floor + 1
	case p.known:
		return p.span.To - h + 1
	}
	return plan.run(pos)
}

// free reports whether the peer may be asked now. One that has not told its range yet is asked once.
func (p *peer) free(now time.Time, most int) bool {
	if !p.known {
		most = 1
	}
	return p.asked < most && !p.until.After(now)
}

func (s *scheduler) anyFree(now time.Time) bool {
	return slices.ContainsFunc(s.peers, func(p *peer) bool { return p.free(now, s.cfg.peerRequests) })
}

// anyHas reports whether a peer has a position, be it free or not.
func (s *scheduler) anyHas(pos uint64) bool {
	return slices.ContainsFunc(s.peers, func(p *peer) bool { return p.has(&s.plan, pos) > 0 })
}

// pick returns the peer that is asked for a position: the least busy, then the quickest of those that are free and have
// it, but not except. One that has sent a bad item for it is asked again only if all that have it did. nil: none.
func (s *scheduler) pick(now time.Time, pos uint64, except *peer) (best *peer) {
	bad := s.slot(pos).bad
	var second *peer
	others := false // there is a peer without a bad item, free or not
	better := func(p, than *peer) bool {
		return than == nil || cmp.Or(cmp.Compare(p.asked, than.asked), cmp.Compare(p.pace, than.pace)) < 0
	}
	for _, p := range s.peers {
		if p == except || p.has(&s.plan, pos) == 0 {
			continue
		}
		tried := slices.Contains(bad, p)
		others = others || !tried
		switch free := p.free(now, s.cfg.peerRequests); {
		case free && tried && better(p, second):
			second = p
		case free && !tried && better(p, best):
			best = p
		}
	}
	if best == nil && !others {
		return second
	}
	return best
}

// told takes a peer's range. One that falls is a restart, no misdeed.
func (s *scheduler) told(p *peer, has Span) {
	if p.known && has.To < p.span.To {
		s.count.restarts++
	}
	p.known, p.span = true, has
}

// lacks takes that a peer does not have a height. If it says that it has, it is asked neither for that nor for any
// lower one any more: it may have pruned them.
func (s *scheduler) lacks(p *peer, height uint64) {
	s.count.lacking++
	if !p.known || p.span.Has(height) {
		p.floor = max(p.floor, height+1)
	}
}

// answered sizes the next request by the time that an answer of so many items took.
func (p *peer) answered(now time.Time, r *request, items int, cfg *schedulerConfig) {
	if took := now.Sub(r.sent); p.pace == 0 {
		p.pace = took
	} else {
		p.pace += (took - p.pace) / 4
	}
	if r.released { // it was too slow, and not silent
		p.until = time.Time{}
	}
	p.slow, p.busy = 0, 0
	since := r.sent // or when the answer before it came, for which it had to wait
	if p.answer.After(since) {
		since = p.answer
	}
	p.answer = now
	switch took := now.Sub(since); {
	case 2*took < cfg.target && 2*r.count > uint64(p.batch):
		p.batch = min(2*p.batch, cfg.batch)
	case took > 2*cfg.target:
		p.batch = max(min(p.batch, int(int64(items)*int64(cfg.target)/int64(took))), 1)
	}
}

// refused takes a peer's refusal.
func (s *scheduler) refused(now time.Time, id uint64, lacking bool) {
	r := s.close(id)
	if r == nil {
		return
	}
	p := r.peer
	if lacking && r.count > 0 {
		s.lacks(p, s.plan.height(r.first))
		return
	}
	s.count.busy++
	p.busy++
	p.until = now.Add(pause(busyFirst, busyMost, p.busy))
}

// failed takes that a request has ended without an answer, or with one that makes no sense.
func (s *scheduler) failed(now time.Time, id uint64, bad bool) {
	r := s.close(id)
	if r == nil {
		return
	}
	s.count.failed++
	if bad {
		r.peer.fault(now)
	} else {
		r.peer.slower(now)
	}
}

// slower lets a peer alone for a while, and asks it for little next.
func (p *peer) slower(now time.Time) {
	p.slow++
	p.batch = 1
	p.until = now.Add(pause(slowFirst, slowMost, p.slow))
}

// fault is slower for a peer that has sent something bad.
func (p *peer) fault(now time.Time) {
	p.faults++
	p.accepted = 0
	p.batch = max(p.batch/4, 1)
	p.until = now.Add(pause(faultFirst, faultMost, p.faults))
}

// good counts an item of the peer that was committed.
func (p *peer) good() {
	if p.accepted++; p.accepted == forgiven {
		p.faults, p.accepted = max(p.faults-1, 0), 0
	}
}
