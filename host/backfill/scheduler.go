package backfill

import (
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// scheduler decides which peer is asked for which heights, and when. It is a state machine without goroutines, clock
// and locks: its driver tells it what happens, with the time, and carries out what decide returns. peers.go has what it
// thinks of each peer.
//
// A height is at a position of the plan. Positions below next are committed. Those from next on have a slot each, as
// many as the window is wide: a slot is wanted, asked for (of one peer, or near the front of two) or held. Held items
// are handed to the verifier in order, and kept until they are committed, so that one which fails costs its sender's
// items only.
type scheduler struct {
	cfg   schedulerConfig
	plan  plan
	next  uint64 // position that is committed next
	taken uint64 // position that is handed to the verifier next
	low   uint64 // no position below is wanted, apart from those of a request that is slow
	slots []slot // by position modulo their number

	peers    []*peer // in order of id
	former   map[transport.NodeID]faulty
	requests map[uint64]*request
	last     uint64 // request
	held     int64  // bytes of held items
	reserved int64  // bytes that answers may have
	size     int64  // of an item, smoothed

	pollAt  time.Time     // when peers are next asked for their ranges, while none has the front
	pollGap time.Duration // doubles with each time

	count counts
}

// schedulerConfig are the bounds of a scheduler: see Config.
type schedulerConfig struct {
	window       uint64 // heights
	windowBytes  int64
	answerBytes  int64 // of one answer
	peerRequests int
	batch        int // heights of a request, at most
	target       time.Duration
	timeout      time.Duration
	tries        int
}

// counts is what a scheduler has seen.
type counts struct {
	requests, hedged, late, lacking, busy, failed, bad, restarts uint64
}

// slot is a height in the window.
type slot struct {
	item  []byte
	from  *peer // who sent the item
	held  bool
	asked int8    // requests in flight that cover it
	bad   []*peer // who sent a bad item
	tries int     // bad items
}

// request is a question to a peer that is in flight.
type request struct {
	id       uint64
	peer     *peer
	first    uint64 // position
	count    uint64 // positions; 0 asks for the range alone
	bytes    int64  // of the answer, at most, or one item
	sent     time.Time
	hedged   bool // another peer was asked for the same
	released bool // its time is over: others may be asked, and its answer is still welcome
}

// ask is what decide wants asked: count heights from height on, downwards or upwards as the plan goes.
type ask struct {
	request uint64
	peer    transport.NodeID
	height  uint64
	count   uint64 // 0 asks for the range alone
	bytes   int64
}

// work is an item that the verifier gets.
type work struct {
	height uint64
	item   []byte
}

const (
	firstBatch = 8
	firstSize  = 1 << 10          // bytes that an item is thought to have before the first came
	itemCost   = 64               // bytes that a held item counts beyond its own
	pollFirst  = time.Second      // before peers are asked for their ranges again
	pollMost   = 30 * time.Second // at most
)

func newScheduler(cfg schedulerConfig, p plan) *scheduler {
	return &scheduler{cfg: cfg, plan: p, slots: make([]slot, min(cfg.window, max(p.total, 1))),
		requests: map[uint64]*request{}, former: map[transport.NodeID]faulty{}, size: firstSize, pollGap: pollFirst}
}

// done reports whether all is committed.
func (s *scheduler) done() bool { return s.next == s.plan.total }

func (s *scheduler) slot(pos uint64) *slot { return &s.slots[pos%uint64(len(s.slots))] }

// end returns the position behind the window.
func (s *scheduler) end() uint64 { return min(s.next+uint64(len(s.slots)), s.plan.total) }

// front returns the first position that is not held; end if all are.
func (s *scheduler) front() uint64 {
	pos := s.taken
	for pos < s.end() && s.slot(pos).held {
		pos++
	}
	return pos
}

// decide returns what is to be asked now, and when decide must be called again at the latest; zero: not before
// something happens.
func (s *scheduler) decide(now time.Time) (asks []ask, wake time.Time) {
	if s.done() {
		return nil, wake
	}
	s.releaseOverdue(now)
	front := s.front()
	asks = s.hedge(now)
	pos := max(s.low, s.next)
	first := true
	for end := s.end(); pos < end; {
		if sl := s.slot(pos); sl.held || sl.asked > 0 {
			pos++
			continue
		}
		if first {
			s.low, first = pos, false
		}
		if !s.anyFree(now) {
			break
		}
		p := s.pick(now, pos, nil)
		if p == nil {
			pos++
			continue
		}
		count, bytes, short := s.portion(p, pos, false)
		if count == 0 || short && p.asked > 0 {
			break // until the window has moved: many small requests would cost more than a moment without one
		}
		asks = append(asks, s.ask(now, p, pos, count, bytes))
		pos += count
	}
	if first {
		s.low = pos
	}
	asks = s.poll(now, front, asks)
	return asks, s.wake(now, front)
}

// portion returns how many positions from pos on a peer is asked for, and how many bytes its answer may have: what the
// peer answers in good time, has, and what fits the window. The next height always fits. again allows what is asked for
// once. short reports that the window has room for less than half of what the peer could be asked for.
func (s *scheduler) portion(p *peer, pos uint64, again bool) (count uint64, bytes int64, short bool) {
	each := s.size + s.size/4 + itemCost
	want := min(uint64(p.batch), s.share(), uint64(max(s.cfg.answerBytes/each, 1)), s.plan.run(pos),
		p.has(&s.plan, pos))
	for count < min(want, s.end()-pos) {
		sl := s.slot(pos + count)
		if sl.held || sl.asked > 1 || sl.asked > 0 && !again || count > 0 && slices.Contains(sl.bad, p) {
			break
		}
		count++
	}
	room := uint64(max(s.cfg.windowBytes-s.held-s.reserved, 0) / each)
	short = 2*min(count, room) < want && (pos+count == s.end() || room < count)
	if count = min(count, room); count == 0 && pos == s.next { // however much is held behind it
		count = 1
	}
	return count, int64(count) * each, short
}

// share returns how many heights one request may have at most: all peers have work, and half of the window is with the
// verifier meanwhile.
func (s *scheduler) share() uint64 {
	requests := uint64(max(len(s.peers), 1) * s.cfg.peerRequests)
	return max(min(uint64(s.cfg.batch), uint64(len(s.slots))/requests/2), 1)
}

// ask makes a request.
func (s *scheduler) ask(now time.Time, p *peer, pos, count uint64, bytes int64) ask {
	s.last++
	r := &request{id: s.last, peer: p, first: pos, count: count, bytes: bytes, sent: now}
	s.requests[r.id] = r
	p.asked++
	s.reserved += bytes
	for i := range count {
		s.slot(pos+i).asked++
	}
	a := ask{request: r.id, peer: p.id, count: count, bytes: bytes}
	if count > 0 {
		a.height = s.plan.height(pos)
	} else {
		p.polling = true
	}
	s.count.requests++
	return a
}

// hedge asks a second peer for what is near the front and slow to come.
func (s *scheduler) hedge(now time.Time) (asks []ask) {
	for _, r := range s.slowRequests(now) {
		pos := max(r.first, s.next)
		for pos < r.first+r.count && s.slot(pos).held {
			pos++
		}
		if pos == r.first+r.count || s.slot(pos).asked > 1 {
			continue
		}
		p := s.pick(now, pos, r.peer)
		if p == nil {
			continue
		}
		count, bytes, _ := s.portion(p, pos, true) // perhaps more than what is slow: that is wanted, too
		if count == 0 {
			continue
		}
		r.hedged = true
		r.peer.batch = max(r.peer.batch/2, 1)
		s.count.hedged++
		asks = append(asks, s.ask(now, p, pos, count, bytes))
	}
	return asks
}

// slowRequests returns the requests near the front that take longer than their peers usually do, front first.
func (s *scheduler) slowRequests(now time.Time) (slow []*request) {
	for _, r := range s.requests {
		if s.mayHedge(r) && !now.Before(r.slowAt(s.cfg.target)) {
			slow = append(slow, r)
		}
	}
	slices.SortFunc(slow, func(a, b *request) int { return int(a.id) - int(b.id) })
	slices.SortStableFunc(slow, func(a, b *request) int { return int(int64(a.first) - int64(b.first)) })
	return slow
}

// mayHedge reports whether a request is near enough to the front that a second peer is asked for the same.
func (s *scheduler) mayHedge(r *request) bool {
	near := s.next + uint64(len(s.slots))/4 + 1
	return r.count > 0 && !r.hedged && !r.released && r.first < near && r.first+r.count > s.next
}

// slowAt is when a request has taken longer than its peer usually does.
func (r *request) slowAt(target time.Duration) time.Time {
	return r.sent.Add(max(target, 2*r.peer.pace))
}

// releaseOverdue lets others be asked for what a peer has not answered in time.
func (s *scheduler) releaseOverdue(now time.Time) {
	for _, r := range s.requests {
		if r.released || now.Before(r.sent.Add(s.cfg.timeout)) {
			continue
		}
		s.release(r)
		r.peer.slower(now)
	}
}

// release ends the claim of a request on its heights and bytes.
func (s *scheduler) release(r *request) {
	if r.released {
		return
	}
	r.released = true
	s.reserved -= r.bytes
	for pos := max(r.first, s.next); pos < r.first+r.count; pos++ {
		s.slot(pos).asked--
		s.low = min(s.low, pos)
	}
}

// close takes a request that has ended out.
func (s *scheduler) close(id uint64) *request {
	r := s.requests[id]
	if r == nil {
		return nil // its peer is gone
	}
	delete(s.requests, id)
	r.peer.asked--
	if r.count == 0 {
		r.peer.polling = false
	}
	if r.released {
		s.count.late++
	}
	s.release(r)
	return r
}

// poll asks peers for their ranges when none has the front: not more often than every pollGap, which doubles.
func (s *scheduler) poll(now time.Time, front uint64, asks []ask) []ask {
	if front == s.end() || s.anyHas(front) {
		return asks
	}
	if s.pollAt.IsZero() {
		s.pollAt = now.Add(s.pollGap)
	}
	if now.Before(s.pollAt) {
		return asks
	}
	s.pollGap = min(2*s.pollGap, pollMost)
	s.pollAt = now.Add(s.pollGap)
	for _, p := range s.peers {
		if !p.polling && p.asked < s.cfg.peerRequests {
			asks = append(asks, s.ask(now, p, 0, 0, 0))
		}
	}
	return asks
}

// calm begins the polls anew, with their shortest gap.
func (s *scheduler) calm() { s.pollAt, s.pollGap = time.Time{}, pollFirst }

// wake returns when decide must be called again.
func (s *scheduler) wake(now time.Time, front uint64) (at time.Time) {
	sooner := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, r := range s.requests {
		if !r.released {
			sooner(r.sent.Add(s.cfg.timeout))
		}
		if s.mayHedge(r) {
			sooner(r.slowAt(s.cfg.target))
		}
	}
	for _, p := range s.peers {
		sooner(p.until)
	}
	if front < s.end() && !s.anyHas(front) {
		sooner(s.pollAt)
	}
	return at
}

// take returns up to most items that the verifier gets next.
func (s *scheduler) take(most int) (out []work) {
	for len(out) < most && s.taken < s.end() && s.slot(s.taken).held {
		out = append(out, work{s.plan.height(s.taken), s.slot(s.taken).item})
		s.taken++
	}
	return out
}

// answered takes a peer's answer: the items of the first heights that were asked for, and the range that the peer has
// now. It reports false if there are more items than were asked for.
func (s *scheduler) answered(now time.Time, id uint64, items [][]byte, has Span) bool {
	r := s.close(id)
	if r == nil {
		return true
	}
	p := r.peer
	s.told(p, has)
	if uint64(len(items)) > r.count {
		p.fault(now)
		return false
	}
	if r.count == 0 {
		return true
	}
	if len(items) == 0 {
		s.lacks(p, s.plan.height(r.first))
		return true
	}
	p.answered(now, r, len(items), &s.cfg)
	for i, item := range items {
		if more := int64(len(item)) - s.size; more > 0 {
			s.size += (more + 1) / 2 // what an answer may have must grow quickly
		} else {
			s.size += more / 8
		}
		pos := r.first + uint64(i)
		if pos < s.next || s.slot(pos).held {
			continue // another peer was quicker
		}
		sl := s.slot(pos)
		sl.item, sl.from, sl.held = item, p, true
		s.held += int64(len(item)) + itemCost
	}
	return true
}

// committed takes what the verifier has done: count more positions are committed.
func (s *scheduler) committed(count int) {
	for range count {
		sl := s.slot(s.next)
		s.held -= int64(len(sl.item)) + itemCost
		sl.from.good()
		*sl = slot{}
		s.next++
	}
	if count > 0 {
		s.low = max(s.low, s.next)
		s.calm()
	}
}

// rejected takes that the item at next is bad. It returns who sent it, and whether the height may be tried again. All
// that the verifier has got since is its own again; what the same peer sent is asked for anew.
func (s *scheduler) rejected(now time.Time) (from transport.NodeID, again bool) {
	sl := s.slot(s.next)
	p := sl.from
	sl.tries++
	sl.bad = append(sl.bad, p)
	s.count.bad++
	p.fault(now)
	s.taken = s.next
	for pos := s.next; pos < s.end(); pos++ {
		if o := s.slot(pos); o.held && o.from == p {
			s.held -= int64(len(o.item)) + itemCost
			o.item, o.from, o.held = nil, nil, false
			s.low = min(s.low, pos)
		}
	}
	return p.id, sl.tries < s.cfg.tries
}
