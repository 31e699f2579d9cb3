package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Requests asks peers and answers their requests, over a channel that it has for itself. A request and its answer are
// protobuf messages, such as *pb.Get and *pb.Items; on the wire each is in a frame (switchyardpb.RequestFrame) with the
// number of its call. All methods may be called concurrently, Run once. Nothing is answered, and no call ends by its
// deadline, before Run.
//
//   - A call ends once: with the peer's answer, with its refusal (*RefusalError), when its time is over, when its
//     caller cancels it, or at once with the peering over which it was sent. It never goes to a later peering.
//   - A refusal is an answer: the peer lacks something or is busy. It is no misdeed.
//   - A late answer, to a call that has ended meanwhile, is no misdeed either: it is counted, and told to Late.
//   - A frame that does not decode, and an answer to no call, are misdeeds: they are reported (Penalise) and dropped.
//   - Calls that wait are bounded for a peer and in all; more fail at once with ErrTooManyCalls. So are the requests of
//     peers that are handled; more are refused with RefusedBusy.
type Requests[Req, Resp proto.Message] struct {
	ch      *Channel
	cfg     RequestsConfig[Req, Resp]
	newReq  func() Req
	newResp func() Resp
	calls   calls
	counts  requestCounts
}

// RequestsConfig is what Requests need. A zero field means its default.
type RequestsConfig[Req, Resp proto.Message] struct {
	// Serve answers a request that came from e.From over the peering e.Peering; e.Message is nil. It is called beside
	// the reader, on a goroutine of its own. ctx ends with the peering, and with Run. A *RefusalError reaches the
	// caller as it is (its Peer aside), any other error as RefusedFailed without its text. If Serve panics, the channel
	// goes down as in Channel.Serve. nil refuses all requests with RefusedLacking.
	Serve func(ctx context.Context, e Envelope, req Req) (Resp, error)
	// Notice takes a message that is neither request nor answer: see Notify. e.Message is the body, the callee's own;
	// do not release it. Notice is called by the reader, in the order of a peer's frames, and must not block. nil drops
	// notices.
	Notice func(e Envelope)
	// Late takes the answer to a call that has ended without one, and how long the peer took for it. It is called by
	// the reader, and must not block. nil drops them.
	Late func(from transport.NodeID, resp Resp, took time.Duration)

	Timeout      time.Duration // of a call that names none; 0 means 10 s
	Calls        int           // that wait at once, to all peers; 0 means 1,024
	PeerCalls    int           // that wait at once, to one peer; 0 means 64
	Handlers     int           // requests of all peers that are handled at once; 0 means 128
	PeerHandlers int           // requests of one peer that are handled at once; 0 means 8
	// AnswerTimeout is how long a peer may leave an answer unread that does not fit its send queue; 0 means 30 s. Then
	// the answer is dropped and counted.
	AnswerTimeout time.Duration
}

// RefusalCode is why a peer has refused a request. Codes from 64 on are the service's own.
type RefusalCode uint32

const (
	RefusedLacking RefusalCode = 1 // the peer does not have what was asked for
	RefusedBusy    RefusalCode = 2 // the peer handles too many requests
	RefusedFailed  RefusalCode = 3 // the peer could not answer for a reason of its own
)

func (c RefusalCode) String() string {
	switch c {
	case RefusedLacking:
		return "lacking"
	case RefusedBusy:
		return "busy"
	case RefusedFailed:
		return "failed"
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// RefusalError is a peer's refusal of a request: at its caller the error of the call; from Serve the answer.
type RefusalError struct {
	Peer   transport.NodeID // who has refused; empty in Serve
	Code   RefusalCode
	Reason string // for people, at most 256 bytes; may be empty
}

func (e *RefusalError) Error() string {
	text := "refused: " + e.Code.String()
	if e.Peer != "" {
		text = "peer " + e.Peer.Short() + " " + text
	}
	if e.Reason != "" {
		text += fmt.Sprintf(" (%q)", e.Reason)
	}
	return text
}

// CallError is why a call has ended without an answer or a refusal. It unwraps to ErrNotConnected when the peering is
// down, to ErrNoSuchChannel, to context.DeadlineExceeded when its time is over, to the error of the caller's context,
// to ErrTooManyCalls, to ErrSendQueueFull (Start only), to muxer.ErrMessageTooLarge, to ErrBadAnswer, or to ErrStopped.
type CallError struct {
	Channel string
	Peer    transport.NodeID
	Err     error
}

func (e *CallError) Error() string {
	return fmt.Sprintf("request on %s to peer %s: %v", e.Channel, e.Peer.Short(), e.Err)
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

var (
	// ErrTooManyCalls reports that as many calls wait for answers as may: RequestsConfig.Calls or PeerCalls.
	ErrTooManyCalls = errors.New("too many calls wait for answers")
	// ErrSendQueueFull reports that the peer's send queue of the channel has no room.
	ErrSendQueueFull = errors.New("the peer's send queue is full")
	// ErrBadAnswer reports an answer that does not decode.
	ErrBadAnswer = errors.New("the answer does not decode")
)

// NewRequests makes Requests over a channel, which they alone receive from:
//
//	requests := host.NewRequests(channel, host.RequestsConfig[*pb.Get, *pb.Items]{Serve: s.serve})
//
// They have no goroutine before Run.
func NewRequests[Q, P any, Req message[Q], Resp message[P]](c *Channel,
	cfg RequestsConfig[Req, Resp]) *Requests[Req, Resp] {
	cfg = cfg.withDefaults()
	return &Requests[Req, Resp]{ch: c, cfg: cfg,
		newReq: func() Req { return new(Q) }, newResp: func() Resp { return new(P) },
		calls: calls{most: cfg.Calls, mostPeer: cfg.PeerCalls, handlers: cfg.Handlers, peerHandlers: cfg.PeerHandlers,
			wake: make(chan struct{}, 1)}}
}

func (c RequestsConfig[Req, Resp]) withDefaults() RequestsConfig[Req, Resp] {
	c.Timeout = cmp.Or(max(c.Timeout, 0), 10*time.Second)
	c.Calls = cmp.Or(max(c.Calls, 0), 1024)
	c.PeerCalls = cmp.Or(max(c.PeerCalls, 0), 64)
	c.Handlers = cmp.Or(max(c.Handlers, 0), 128)
	c.PeerHandlers = cmp.Or(max(c.PeerHandlers, 0), 8)
	c.AnswerTimeout = cmp.Or(max(c.AnswerTimeout, 0), 30*time.Second)
	return c
}

// Call sends req to a peer and waits for its answer. It waits while the peer's send queue is full. within bounds all of
// it; 0 means RequestsConfig.Timeout. The error is a *RefusalError or a *CallError.
func (r *Requests[Req, Resp]) Call(ctx context.Context, to transport.NodeID, req Req,
	within time.Duration) (resp Resp, err error) {
	type result struct {
		e   Envelope
		f   requestFrame
		err error
	}
	results := make(chan result, 1)
	within = cmp.Or(within, r.cfg.Timeout)
	p, c, frame, err := r.begin(to, req, within, func(e Envelope, f requestFrame, err error) {
		results <- result{e, f, err}
	})
	if err != nil {
		return resp, err
	}
	if sent, _ := p.trySend(r.ch, frame); !sent {
		sending, cancel := context.WithTimeout(ctx, within)
		err := p.Send(sending, r.ch, frame)
		cancel()
		if err != nil && r.calls.remove(c, true) {
			return resp, r.failed(to, unsent(err))
		}
	}
	select {
	case got := <-results:
		return r.result(got.e, got.f, to, got.err)
	case <-ctx.Done():
	}
	if r.calls.remove(c, false) {
		return resp, r.failed(to, ctx.Err())
	}
	got := <-results // it has ended meanwhile
	return r.result(got.e, got.f, to, got.err)
}

// Start sends req to a peer and returns without waiting. done is called once with what Call would return, by a
// goroutine of Run, and never from within Start; it must not block, and may call any method. If Start fails, done is
// not called; its error is a *CallError.
func (r *Requests[Req, Resp]) Start(to transport.NodeID, req Req, within time.Duration,
	done func(Resp, error)) (*Ongoing, error) {
	p, c, frame, err := r.begin(to, req, cmp.Or(within, r.cfg.Timeout),
		func(e Envelope, f requestFrame, err error) { done(r.result(e, f, to, err)) })
	if err != nil {
		return nil, err
	}
	if sent, full := p.trySend(r.ch, frame); !sent && r.calls.remove(c, true) {
		err := ErrNotConnected
		switch {
		case len(frame) > r.ch.desc.MaxMessage:
			err = muxer.ErrMessageTooLarge
		case full:
			err = ErrSendQueueFull
		}
		return nil, r.failed(to, err)
	}
	return &Ongoing{calls: &r.calls, call: c, cancelled: &r.counts.cancelled}, nil
}

// begin encodes a request, and takes a call to the peer's present peering.
func (r *Requests[Req, Resp]) begin(to transport.NodeID, req Req, within time.Duration,
	end func(Envelope, requestFrame, error)) (p *Peering, c *call, frame []byte, err error) {
	if frame, err = bodyFrame(frameRequest, 0, req); err != nil {
		return nil, nil, nil, r.failed(to, err)
	}
	if p, err = r.ch.peeringOf(to); err != nil {
		return nil, nil, nil, r.failed(to, err)
	}
	if c, err = r.calls.add(p, within, end); err != nil {
		return nil, nil, nil, r.failed(to, err)
	}
	setCall(frame, c.number)
	r.counts.called.Add(1)
	return p, c, frame, nil
}

// unsent returns why a request could not be sent: an error of Peering.Send, of which those of a session that ends are
// ErrNotConnected.
func unsent(err error) error {
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, ErrNotConnected, ErrNoSuchChannel,
		muxer.ErrMessageTooLarge} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrNotConnected, err)
}

// failed counts and names the end of a call without an answer.
func (r *Requests[Req, Resp]) failed(to transport.NodeID, err error) error {
	switch {
	case errors.Is(err, ErrTooManyCalls):
		r.counts.limited.Add(1)
	case errors.Is(err, context.DeadlineExceeded):
		r.counts.timedOut.Add(1)
	case errors.Is(err, context.Canceled):
		r.counts.cancelled.Add(1)
	case errors.Is(err, ErrNotConnected):
		r.counts.cut.Add(1)
	}
	return &CallError{Channel: r.ch.desc.Name, Peer: to, Err: err}
}

// result makes what Call returns of the end of a call.
func (r *Requests[Req, Resp]) result(e Envelope, f requestFrame, to transport.NodeID, err error) (resp Resp, _ error) {
	switch {
	case err != nil:
		return resp, r.failed(to, err)
	case f.kind == frameRefusal:
		r.counts.refused.Add(1)
		return resp, &RefusalError{Peer: to, Code: f.code, Reason: f.reason}
	}
	m := r.newResp()
	if err := proto.Unmarshal(f.body, m); err != nil {
		r.misdeed(to, fmt.Sprintf("an answer does not decode: %v", err))
		return resp, r.failed(to, ErrBadAnswer)
	}
	e.Release() // what was decoded is a copy
	r.counts.answered.Add(1)
	return m, nil
}

// Ongoing is a call that was started.
type Ongoing struct {
	calls     *calls
	call      *call
	cancelled *atomic.Uint64
}

// Cancel ends the call. It reports whether it has: then done is not called any more. Otherwise done was called, or is
// about to be.
func (o *Ongoing) Cancel() bool {
	was := o.calls.remove(o.call, false)
	if was {
		o.cancelled.Add(1)
	}
	return was
}

// Peering returns the number of the peering over which the request went: see Peering.Number.
func (o *Ongoing) Peering() uint64 { return o.call.peer.peering.number }

// Notify sends a message that wants no answer, if the peer's send queue has room; it reports whether it had. The peer's
// RequestsConfig.Notice gets it, in order with the requests and answers that go to the peer.
func (r *Requests[Req, Resp]) Notify(to transport.NodeID, body []byte) bool {
	return r.ch.TrySend(to, noticeFrame(body))
}
