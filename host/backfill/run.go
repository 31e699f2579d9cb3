package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	pb "github.com/switchyard-p2p/switchyard/internal/switchyardpb"
)

// Task is what Sync and Backfill do. From and To are included; heights that are stored are skipped.
type Task struct {
	From, To uint64
	Verify   Verify // nil takes every item
	// Progress is told how far the run is: at its beginning and end, and meanwhile when that has changed, every 100 ms
	// at most. It is called by one goroutine, and must not block.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Run     string        `json:"run"`        // "sync" or "backfill"
	From    uint64        `json:"from"`       // of the task
	To      uint64        `json:"to"`         // of the task
	Height  uint64        `json:"height"`     // that is committed next; the task's last one when all are
	Done    uint64        `json:"done"`       // heights that were committed
	Total   uint64        `json:"total"`      // heights that were lacking at the beginning
	Bytes   uint64        `json:"bytes"`      // of the items that were committed
	Peers   int           `json:"peers"`      // that are up and serve the channel
	Asked   int           `json:"asked"`      // requests in flight
	Held    int64         `json:"held"`       // bytes ahead of the verifier
	Elapsed time.Duration `json:"elapsed_ns"` // since its beginning
}

// Sync fetches the heights from task.From up to task.To, which the caller trusts, and commits them in ascending order.
// It returns nil once all are stored; else a *HeightError, an error of the store, or why ctx has ended. While no peer
// has what is next, it waits.
func (s *Service) Sync(ctx context.Context, task Task) error {
	if task.To < task.From {
		return fmt.Errorf("sync: from %d up to %d: the target is below the start", task.From, task.To)
	}
	return s.fill(ctx, "sync", task)
}

// Backfill is Sync that walks back: task.To is below task.From, and heights are committed in descending order. It also
// logs why it fails, as a node goes on without.
func (s *Service) Backfill(ctx context.Context, task Task) error {
	if task.To > task.From {
		return fmt.Errorf("backfill: from %d down to %d: the end is above the start", task.From, task.To)
	}
	err := s.fill(ctx, "backfill", task)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("backfill failed", slog.Uint64("from", task.From), slog.Uint64("to", task.To),
			slog.Any("error", err))
	}
	return err
}

// fill makes the run of a task.
func (s *Service) fill(ctx context.Context, name string, task Task) error {
	stored, err := s.store.Range(ctx, min(task.From, task.To), max(task.From, task.To))
	if err != nil {
		return fmt.Errorf("%s: read the store's range: %w", name, err)
	}
	p := newPlan(task.From, task.To, stored)
	p.down = name == "backfill"
	r := &run{service: s, name: name, task: task, began: time.Now(), sched: newScheduler(s.cfg.scheduler(), p),
		wake: make(chan struct{}, 1), ongoing: map[uint64]*host.Ongoing{},
		committer: newCommitter(s.store, task.Verify)}
	s.mu.Lock()
	s.runs[r] = struct{}{}
	s.mu.Unlock()
	defer s.ended(r)
	s.log.Info(name+" begins", slog.Uint64("from", task.From), slog.Uint64("to", task.To),
		slog.Uint64("missing", p.total))
	if err := r.run(ctx); err != nil {
		return err
	}
	s.log.Info(name+" is done", slog.Uint64("from", task.From), slog.Uint64("to", task.To),
		slog.Uint64("fetched", p.total), slog.Duration("after", time.Since(r.began)))
	return nil
}

// run fetches until all is committed, ctx ends or a height fails.
func (r *run) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.follow(ctx) })
	wg.Go(func() { r.committer.run(ctx, r.signal) })
	err := r.loop(ctx)
	cancel()
	wg.Wait()
	for _, o := range r.ongoing {
		o.Cancel()
	}
	done, bytes, _ := r.committer.take() // what was still done meanwhile
	r.bytes += bytes
	r.sched.committed(done)
	r.tell(true)
	return err
}

// run drives a scheduler: it carries out what that decides, and tells it what comes of it. loop owns the scheduler.
type run struct {
	service   *Service
	name      string
	task      Task
	began     time.Time
	sched     *scheduler
	committer *committer
	ongoing   map[uint64]*host.Ongoing // by request
	bytes     uint64                   // committed
	told      time.Time                // when Progress was called last
	last      Progress                 // what it was told
	wake      chan struct{}

	mu       sync.Mutex // guards what follows
	events   []func(now time.Time)
	progress Progress
	counts   Counts
}

func (r *run) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// post lets loop call fn.
func (r *run) post(fn func(now time.Time)) {
	r.mu.Lock()
	r.events = append(r.events, fn)
	r.mu.Unlock()
	r.signal()
}

// follow tells loop of the peers that come and go, until ctx ends.
func (r *run) follow(ctx context.Context) {
	s := r.service
	sub := s.host.Subscribe(ctx)
	for {
		u, err := sub.Next(ctx)
		if err != nil {
			return
		}
		up := u.Status == host.PeerUp && slices.Contains(u.Channels, ChannelID)
		r.post(func(now time.Time) {
			if up {
				r.sched.up(now, u.ID)
			} else {
				r.sched.down(u.ID)
			}
		})
	}
}

// loop runs until all is committed, ctx ends, or a height fails.
func (r *run) loop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.mu.Lock()
		events := r.events
		r.events = nil
		r.mu.Unlock()
		for _, fn := range events {
			fn(time.Now())
		}
		if err := r.commit(ctx); err != nil {
			return err
		}
		switch {
		case r.sched.done():
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		wake := r.ask()
		r.tell(false)
		var due <-chan time.Time
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
			due = timer.C
		}
		select {
		case <-r.wake:
		case <-due:
		case <-r.service.stopped:
			return fmt.Errorf("%s: %w", r.name, host.ErrStopped)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask asks what the scheduler decides, and returns when that must be asked again.
func (r *run) ask() time.Time {
	for {
		asks, wake := r.sched.decide(time.Now())
		failed := false
		for _, a := range asks {
			failed = r.start(a) || failed
		}
		if !failed {
			return wake
		}
	}
}

// start asks a peer. It reports whether that could not be done.
func (r *run) start(a ask) (failed bool) {
	s := r.service
	o, err := s.requests.Start(a.peer, &pb.HeightsRequest{Height: a.height, Count: uint32(a.count),
		Down: r.sched.plan.down, Bytes: uint64(a.bytes)}, 0, func(resp *pb.HeightsAnswer, err error) {
		r.post(func(now time.Time) { r.answered(now, a, resp, err) })
	})
	switch {
	case err == nil:
		r.ongoing[a.request] = o
	case errors.Is(err, host.ErrNotConnected), errors.Is(err, host.ErrNoSuchChannel):
		r.sched.failed(time.Now(), a.request, false)
	default:
		r.sched.refused(time.Now(), a.request, false)
	}
	return err != nil
}

// answered tells the scheduler how a request has ended.
func (r *run) answered(now time.Time, a ask, resp *pb.HeightsAnswer, err error) {
	s := r.service
	delete(r.ongoing, a.request)
	if refusal, ok := errors.AsType[*host.RefusalError](err); ok && refusal.Code != host.RefusedFailed {
		r.sched.refused(now, a.request, refusal.Code == host.RefusedLacking)
		return
	}
	if err != nil {
		r.sched.failed(now, a.request, errors.Is(err, host.ErrBadAnswer))
		return
	}
	has := Span{From: 1, To: 0}
	if resp.GetEnd() > resp.GetFrom() {
		has = Span{From: resp.GetFrom(), To: resp.GetEnd() - 1}
	}
	if !r.sched.answered(now, a.request, resp.GetItems(), has) {
		s.host.Report(a.peer, host.Behaviour{Points: -20, Severity: host.Penalise,
			Reason: fmt.Sprintf("backfill: %d items for %d heights", len(resp.GetItems()), a.count)})
	}
}

// commit takes what the committer has done, and gives it more.
func (r *run) commit(ctx context.Context) error {
	done, bytes, failure := r.committer.take()
	r.bytes += bytes
	r.sched.committed(done)
	if failure != nil {
		height := r.sched.plan.height(r.sched.next)
		if ctx.Err() != nil {
			return context.Cause(ctx) // whatever the store or the verifier makes of that
		}
		bad, ok := errors.AsType[*BadItemError](failure)
		if !ok {
			return &HeightError{Run: r.name, Height: height, Err: failure}
		}
		from, again := r.sched.rejected(time.Now())
		r.service.host.Report(from, host.Behaviour{Points: -50, Severity: bad.Severity,
			Reason: fmt.Sprintf("%s: height %d: %v", r.name, height, bad.Err)})
		if !again {
			return &HeightError{Run: r.name, Height: height, Tries: r.service.cfg.Tries, Err: bad.Err}
		}
	}
	if room := r.committer.room(); room > 0 {
		r.committer.give(r.sched.take(room))
	}
	return nil
}
