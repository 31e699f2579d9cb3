package backfill

import (
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// tellEvery is how often Task.Progress is called at most.
const tellEvery = 100 * time.Millisecond

// Counts is what the runs of a service have seen so far.
type Counts struct {
	Committed uint64 `json:"committed"` // heights
	Bytes     uint64 `json:"bytes"`     // of their items
	Requests  uint64 `json:"requests"`  // to peers
	Hedged    uint64 `json:"hedged"`    // second requests near the front
	Late      uint64 `json:"late"`      // answers that came after their time
	Lacking   uint64 `json:"lacking"`   // answers of peers that lacked the height
	Busy      uint64 `json:"busy"`      // refusals of busy peers
	Failed    uint64 `json:"failed"`    // requests without an answer
	Bad       uint64 `json:"bad"`       // items that did not verify
	Restarts  uint64 `json:"restarts"`  // ranges that fell
}

func (c *Counts) add(o Counts) {
	c.Committed += o.Committed
	c.Bytes += o.Bytes
	c.Requests += o.Requests
	c.Hedged += o.Hedged
	c.Late += o.Late
	c.Lacking += o.Lacking
	c.Busy += o.Busy
	c.Failed += o.Failed
	c.Bad += o.Bad
	c.Restarts += o.Restarts
}

// tell keeps the present progress, and tells Task.Progress if it is time.
func (r *run) tell(last bool) {
	s, now := r.sched, time.Now()
	p := Progress{Run: r.name, From: r.task.From, To: r.task.To, Height: r.task.To, Done: s.next, Total: s.plan.total,
		Bytes: r.bytes, Peers: len(s.peers), Asked: len(s.requests), Held: s.held, Elapsed: now.Sub(r.began)}
	if !s.done() {
		p.Height = s.plan.height(s.next)
	}
	n := s.count
	r.mu.Lock()
	r.progress = p
	r.counts = Counts{Committed: s.next, Bytes: r.bytes, Requests: n.requests, Hedged: n.hedged, Late: n.late,
		Lacking: n.lacking, Busy: n.busy, Failed: n.failed, Bad: n.bad, Restarts: n.restarts}
	r.mu.Unlock()
	same := p
	same.Elapsed = r.last.Elapsed
	if r.task.Progress == nil || !last && (same == r.last || now.Sub(r.told) < tellEvery && !r.told.IsZero()) {
		return
	}
	r.told, r.last = now, p
	r.task.Progress(p)
}

// ended takes a run out.
func (s *Service) ended(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, r)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.counts.add(r.counts)
}

// Runs returns how far the present runs are, in no order.
func (s *Service) Runs() []Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Progress, 0, len(s.runs))
	for r := range s.runs {
		r.mu.Lock()
		out = append(out, r.progress)
		r.mu.Unlock()
	}
	return out
}

// Counts returns what all runs have seen so far.
func (s *Service) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.counts
	for r := range s.runs {
		r.mu.Lock()
		sum.add(r.counts)
		r.mu.Unlock()
	}
	return sum
}

// Requests returns the counts of the requests that the service has made and answered.
func (s *Service) Requests() host.RequestStats { return s.requests.Stats() }
