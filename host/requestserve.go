package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The receiving side of Requests.

// Run receives and answers until ctx ends, when it returns nil, or until the host stops or Serve panics. Then all calls
// end with ErrStopped, before Run returns; it waits for its goroutines.
func (r *Requests[Req, Resp]) Run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	wg.Go(func() { r.calls.watch(running) })
	handlers := handlerGroup{wg: &wg, fail: stop}
	for {
		e, err := r.ch.Receive(running)
		if err != nil {
			stop(err)
			break
		}
		r.take(running, e, handlers)
	}
	r.calls.close()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("requests on channel %s: %w", r.ch.desc.Name, context.Cause(running))
}

// handlerGroup are the goroutines of handlers.
type handlerGroup struct {
	wg   *sync.WaitGroup
	fail context.CancelCauseFunc // ends Run
}

// take takes a message that was received.
func (r *Requests[Req, Resp]) take(ctx context.Context, e Envelope, handlers handlerGroup) {
	f, err := parseFrame(e.Message)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		r.misdeed(e.From, fmt.Sprintf("a frame does not decode: %v", err))
		return
	}
	switch f.kind {
	case frameNotice:
		r.counts.notices.Add(1)
		if r.cfg.Notice != nil {
			r.cfg.Notice(Envelope{From: e.From, Peering: e.Peering, Message: f.body})
		}
	case frameRequest:
		p, err := r.ch.peeringOf(e.From)
		if err != nil || p.number != e.Peering {
			return // who asked is gone
		}
		if r.cfg.Serve == nil {
			r.refuse(p, f.call, RefusedLacking, "requests are not served")
			return
		}
		rp := r.calls.enter(ctx, p)
		if rp == nil {
			r.counts.busy.Add(1)
			r.refuse(p, f.call, RefusedBusy, "")
			return
		}
		handlers.wg.Go(func() {
			defer r.calls.exit(rp)
			if err := r.handle(rp, e, f); err != nil {
				handlers.fail(err)
			}
		})
	default:
		r.answered(e, f)
	}
}

// answered ends the call of an answer.
func (r *Requests[Req, Resp]) answered(e Envelope, f requestFrame) {
	p, err := r.ch.peeringOf(e.From)
	current := err == nil && p.number == e.Peering
	c, sent, is := r.calls.answered(e.Peering, f.call, current)
	switch is {
	case answersCall:
		c.end(e, f, nil)
	case answersNothing:
		r.misdeed(e.From, fmt.Sprintf("an answer to call %d, which there is not", f.call))
	case answersOld:
		r.counts.late.Add(1)
	case answersLate:
		r.counts.late.Add(1)
		if r.cfg.Late == nil || f.kind == frameRefusal {
			return
		}
		resp := r.newResp()
		if err := proto.Unmarshal(f.body, resp); err != nil {
			r.misdeed(e.From, fmt.Sprintf("a late answer does not decode: %v", err))
			return
		}
		e.Release()
		r.cfg.Late(e.From, resp, time.Since(sent))
	}
}

// handle answers a request. It returns an error if Serve panics.
func (r *Requests[Req, Resp]) handle(rp *requestPeer, e Envelope, f requestFrame) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = r.ch.panicked(p)
		}
	}()
	req := r.newReq()
	if err := proto.Unmarshal(f.body, req); err != nil {
		r.misdeed(e.From, fmt.Sprintf("a request does not decode: %v", err))
		r.refuse(rp.peering, f.call, RefusedFailed, "the request does not decode")
		return nil
	}
	e.Release() // what was decoded is a copy
	e.Message = nil
	resp, err := r.cfg.Serve(rp.ctx, e, req)
	if rp.ctx.Err() != nil {
		r.counts.undelivered.Add(1)
		return nil
	}
	var frame []byte
	if err == nil {
		frame, err = bodyFrame(frameResponse, f.call, resp)
	}
	if err == nil && len(frame) > r.ch.desc.MaxMessage {
		err = fmt.Errorf("answer of %d bytes: %w", len(frame), muxer.ErrMessageTooLarge)
	}
	if err != nil {
		refusal, ok := errors.AsType[*RefusalError](err)
		if !ok {
			r.ch.host.log.Debug("a request could not be answered", slog.String("channel", r.ch.desc.Name),
				slog.String("peer", string(e.From)), slog.Any("error", err))
			refusal = &RefusalError{Code: RefusedFailed}
		}
		r.refuse(rp.peering, f.call, refusal.Code, refusal.Reason)
		return nil
	}
	if sent, _ := rp.peering.trySend(r.ch, frame); !sent {
		ctx, cancel := context.WithTimeout(rp.ctx, r.cfg.AnswerTimeout)
		defer cancel()
		if err := rp.peering.Send(ctx, r.ch, frame); err != nil {
			r.counts.undelivered.Add(1)
			return nil
		}
	}
	r.counts.served.Add(1)
	return nil
}

// refuse sends a refusal, if the peer's send queue has room.
func (r *Requests[Req, Resp]) refuse(p *Peering, call uint64, code RefusalCode, reason string) {
	r.counts.denied.Add(1)
	if sent, _ := p.trySend(r.ch, refusalFrame(call, code, reason)); !sent {
		r.counts.undelivered.Add(1)
	}
}

func (r *Requests[Req, Resp]) misdeed(from transport.NodeID, what string) {
	r.counts.misdeeds.Add(1)
	r.ch.host.Report(from, Behaviour{Points: -10, Severity: Penalise,
		Reason: "channel " + r.ch.desc.Name + ": " + what})
}

// RequestStats count what Requests have done since their start.
type RequestStats struct {
	Called      uint64 // calls that began
	Answered    uint64 // that ended with an answer
	Refused     uint64 // with a refusal
	TimedOut    uint64 // when their time was over
	Cancelled   uint64 // by their caller
	Cut         uint64 // with their peering, or for lack of one
	Limited     uint64 // calls that did not begin: ErrTooManyCalls
	Late        uint64 // answers and refusals that came after the end of their call
	Misdeeds    uint64 // frames that did not decode, and answers to no call
	Served      uint64 // requests that were answered
	Denied      uint64 // requests that were refused
	Busy        uint64 // of these, because too many were handled
	Undelivered uint64 // answers and refusals that did not reach their peer's send queue
	Notices     uint64 // that came

	Waiting  int // calls that wait now
	Handling int // requests that are handled now
}

// requestCounts are the counters of RequestStats.
type requestCounts struct {
	called, answered, refused, timedOut, cancelled, cut, limited, late, misdeeds atomic.Uint64
	served, denied, busy, undelivered, notices                                   atomic.Uint64
}

// Stats returns the present counts.
func (r *Requests[Req, Resp]) Stats() RequestStats {
	c := &r.counts
	s := RequestStats{Called: c.called.Load(), Answered: c.answered.Load(), Refused: c.refused.Load(),
		TimedOut: c.timedOut.Load(), Cancelled: c.cancelled.Load(), Cut: c.cut.Load(), Limited: c.limited.Load(),
		Late: c.late.Load(), Misdeeds: c.misdeeds.Load(), Served: c.served.Load(), Denied: c.denied.Load(),
		Busy: c.busy.Load(), Undelivered: c.undelivered.Load(), Notices: c.notices.Load()}
	s.Waiting, s.Handling = r.calls.counts()
	return s
}
