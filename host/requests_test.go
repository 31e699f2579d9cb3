package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

type (
	text         = wrapperspb.StringValue
	textRequests = Requests[*text, *text]
	textConfig   = RequestsConfig[*text, *text]
)

// newRequests makes a host that runs, with Requests on channel 1 that run. stop ends both.
func newRequests(t *testing.T, cfg textConfig) (h *Host, r *textRequests, stop func()) {
	t.Helper()
	h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1, MaxMessage: 1000})
	r = NewRequests(channels[0], cfg)
	stopHost := run(t, h)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return h, r, func() {
		cancel()
		wg.Wait()
		stopHost()
	}
}

// sentFrames are the frames that the remote of a session has got so far.
func sentFrames(t *testing.T, s *fakeSession) (out []requestFrame) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.sent[1] {
		f, err := parseFrame(b)
		if err != nil {
			t.Fatalf("a frame that we sent: %v", err)
		}
		out = append(out, f)
	}
	return out
}

func respond(t *testing.T, l *link, call uint64, answer string) {
	t.Helper()
	b, err := bodyFrame(frameResponse, call, wrapperspb.String(answer))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, l, string(b))
}

// A call ends with the answer to it and no other, however answers are ordered.
func TestRequestsMatchAnswersToCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, stop := newRequests(t, textConfig{})
		defer stop()
		l, s := upLink(t, h, 1)
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				text := fmt.Sprint(i)
				got, err := r.Call(t.Context(), l.peer, wrapperspb.String(text), 0)
				if err != nil || got.GetValue() != "re "+text {
					t.Errorf("call %d: %v, %v", i, got, err)
				}
			})
		}
		synctest.Wait()
		if got := r.Stats(); got.Waiting != 5 || got.Called != 5 {
			t.Errorf("stats %+v", got)
		}
		frames := sentFrames(t, s)
		slices.Reverse(frames)
		for _, f := range frames {
			respond(t, l, f.call, "re "+string(f.body[2:]))
			synctest.Wait()
		}
		wg.Wait()
	})
}

// Each call has its own time, by one timer; a late answer is told to Late, costs the peer nothing, and counts once.
func TestRequestsDeadlinesAndLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []string
		h, r, stop := newRequests(t, textConfig{Late: func(from transport.NodeID, resp *text, took time.Duration) {
			late = append(late, fmt.Sprintf("%v %s %v", from == peerID(1), resp.GetValue(), took))
		}})
		defer stop()
		l, _ := upLink(t, h, 1)
		var wg sync.WaitGroup
		began := time.Now()
		for i := range 10 { // shorter ones later
			wg.Go(func() {
				within := time.Duration(10-i) * time.Second
				_, err := r.Call(t.Context(), l.peer, wrapperspb.String("x"), within)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != within {
					t.Errorf("within %v: %v after %v", within, err, time.Since(began))
				}
				if want, ok := errors.AsType[*CallError](err); !ok || want.Peer != l.peer {
					t.Errorf("the error is %#v", err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		before := scoreOf(h, l.peer)
		respond(t, l, 10, "late")
		synctest.Wait()
		if fmt.Sprint(late) != "[true late 10s]" || scoreOf(h, l.peer) != before {
			t.Errorf("late answers %v, the score went from %d to %d", late, before, scoreOf(h, l.peer))
		}
		respond(t, l, 10, "again")
		synctest.Wait()
		if got := r.Stats(); got.Late != 1 || got.Misdeeds != 1 || got.TimedOut != 10 || got.Waiting != 0 {
			t.Errorf("stats %+v", got)
		}
		if scoreOf(h, l.peer) >= before {
			t.Error("a second answer to one call costs nothing")
		}
	})
}

// Calls end at once with their peering, and never reach the next one.
func TestRequestsEndWithThePeering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, stop := newRequests(t, textConfig{})
		defer stop()
		l, s := upLink(t, h, 1)
		done := make(chan error, 1)
		o, err := r.Start(l.peer, wrapperspb.String("x"), time.Hour, func(_ *text, err error) { done <- err })
		if err != nil {
			t.Fatal(err)
		}
		if o.Peering() != l.peering.Load().number {
			t.Errorf("the call is of peering %d", o.Peering())
		}
		began := time.Now()
		s.hangUp(errors.New("broken"))
		if err := <-done; !errors.Is(err, ErrNotConnected) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if o.Cancel() {
			t.Error("a call that has ended was cancelled")
		}
		if _, err := r.Call(t.Context(), l.peer, wrapperspb.String("x"), 0); !errors.Is(err, ErrNotConnected) {
			t.Errorf("a call without a peer: %v", err)
		}
		l, s = upLink(t, h, 1)
		end := func(_ *text, err error) { done <- err }
		if _, err := r.Start(l.peer, wrapperspb.String("y"), time.Hour, end); err != nil {
			t.Fatal(err)
		}
		if got := sentFrames(t, s); len(got) != 1 || got[0].call != 1 {
			t.Errorf("the next peering has got %+v", got)
		}
		if r.calls.mu.Lock(); len(r.calls.peers) != 1 {
			t.Errorf("%d peerings are kept", len(r.calls.peers))
		}
		r.calls.mu.Unlock()
	})
}

// Calls are bounded for a peer and in all, and those that are cancelled make room.
func TestRequestsBoundCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, stop := newRequests(t, textConfig{Calls: 3, PeerCalls: 2})
		defer stop()
		upLink(t, h, 1)
		upLink(t, h, 2)
		start := func(n int) (*Ongoing, error) {
			return r.Start(peerID(n), wrapperspb.String("x"), 0, func(_ *text, err error) {
				if !errors.Is(err, ErrStopped) {
					t.Errorf("ended: %v", err)
				}
			})
		}
		for i, want := range []struct {
			peer int
			ok   bool
		}{{1, true}, {1, true}, {1, false}, {2, true}, {2, false}} {
			o, err := start(want.peer)
			if want.ok != (err == nil) || err != nil && !errors.Is(err, ErrTooManyCalls) {
				t.Errorf("call %d: %v", i, err)
			}
			if i == 0 {
				defer func() {
					if !o.Cancel() || o.Cancel() {
						t.Error("a call was not cancelled, or twice")
					}
					if _, err := start(2); err != nil {
						t.Errorf("after a cancelled call: %v", err)
					}
					if got := r.Stats(); got.Waiting != 3 || got.Limited != 2 || got.Cancelled != 1 {
						t.Errorf("stats %+v", got)
					}
				}()
			}
		}
	})
}

// A caller's context ends its call, also while the request waits for the send queue.
func TestRequestsCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, stop := newRequests(t, textConfig{})
		defer stop()
		l, s := upLink(t, h, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.Call(ctx, l.peer, wrapperspb.String("x"), time.Minute)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.mu.Lock()
		s.full = true
		s.mu.Unlock()
		if _, err := r.Start(l.peer, wrapperspb.String("x"), 0, nil); !errors.Is(err, ErrSendQueueFull) {
			t.Error(err)
		}
		_, err = r.Start(l.peer, wrapperspb.String(strings.Repeat("x", 2000)), 0, nil)
		if !errors.Is(err, muxer.ErrMessageTooLarge) {
			t.Error(err)
		}
		if got := r.Stats(); got.Waiting != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}

// A refusal is an answer: a typed error at the caller, and no misdeed.
func TestRequestsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, stop := newRequests(t, textConfig{})
		defer stop()
		l, _ := upLink(t, h, 1)
		before := scoreOf(h, l.peer)
		done := make(chan error, 1)
		if _, err := r.Start(l.peer, wrapperspb.String("x"), 0, func(_ *text, err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		deliver(t, l, string(refusalFrame(1, 70, "not today")))
		got, ok := errors.AsType[*RefusalError](<-done)
		if !ok || *got != (RefusalError{Peer: l.peer, Code: 70, Reason: "not today"}) {
			t.Errorf("the error is %#v", got)
		}
		if scoreOf(h, l.peer) != before || r.Stats().Refused != 1 {
			t.Errorf("stats %+v", r.Stats())
		}
	})
}

// Garbage, and answers to nothing, cost points; the calls go on.
func TestRequestsMisdeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, stop := newRequests(t, textConfig{})
		defer stop()
		for i, bad := range []string{"\xff", "\x09", string(refusalFrame(0, 1, "")), string(refusalFrame(2, 1, "")),
			string(startedFrame(1 << 63)), "\x32\x01\xff"} {
			l, _ := upLink(t, h, i+2)
			deliver(t, l, bad)
			synctest.Wait()
			if scoreOf(h, l.peer) >= 0 || r.Stats().Misdeeds != uint64(i+1) {
				t.Errorf("%q costs nothing", bad)
			}
		}
		l, _ := upLink(t, h, 1)
		done := make(chan error, 1)
		start := func() {
			_, err := r.Start(l.peer, wrapperspb.String("x"), 0, func(_ *text, err error) { done <- err })
			if err != nil {
				t.Fatal(err)
			}
		}
		start()
		deliver(t, l, string(append(startedFrame(1)[:9], "\x1a\x02\x0a\xff"...)))
		if err := <-done; !errors.Is(err, ErrBadAnswer) {
			t.Errorf("an answer that does not decode: %v", err)
		}
		start()
		respond(t, l, 2, "good")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// startedFrame is an answer without a body.
func startedFrame(call uint64) []byte {
	b, _ := bodyFrame(frameResponse, call, wrapperspb.String(""))
	return b
}

// Handlers run beside the reader, bounded for a peer and in all; their contexts end with the peering.
func TestRequestsServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ended := make(chan transport.NodeID, 10)
		h, r, stop := newRequests(t, textConfig{Handlers: 3, PeerHandlers: 2,
			Serve: func(ctx context.Context, e Envelope, req *text) (*text, error) {
				switch req.GetValue() {
				case "lacking":
					return nil, fmt.Errorf("no: %w", &RefusalError{Code: RefusedLacking, Reason: "pruned"})
				case "broken":
					return nil, errors.New("a secret")
				case "long":
					return wrapperspb.String(strings.Repeat("x", 1000)), nil
				}
				select {
				case <-release:
				case <-ctx.Done():
					ended <- e.From
				}
				return wrapperspb.String("re " + req.GetValue()), nil
			}})
		defer stop()
		la, sa := upLink(t, h, 1)
		lb, sb := upLink(t, h, 2)
		ask := func(l *link, call uint64, text string) {
			b, _ := bodyFrame(frameRequest, call, wrapperspb.String(text))
			deliver(t, l, string(b))
			synctest.Wait()
		}
		last := func(s *fakeSession) string {
			all := sentFrames(t, s)
			if len(all) == 0 {
				return "nothing"
			}
			f := all[len(all)-1]
			return fmt.Sprintf("%d: %s%v %s", f.call, f.body, f.code, f.reason)
		}
		ask(la, 1, "lacking")
		if got := last(sa); got != "1: lacking pruned" {
			t.Error(got)
		}
		ask(la, 2, "broken")
		if got := last(sa); got != "2: failed " {
			t.Error(got)
		}
		ask(la, 3, "long")
		if got := last(sa); got != "3: failed " {
			t.Error(got)
		}
		deliver(t, la, "\x09\x04\x00\x00\x00\x00\x00\x00\x00\x12\x02\x0a\xff")
		synctest.Wait()
		if got := last(sa); !strings.HasPrefix(got, "4: failed") || r.Stats().Misdeeds != 1 {
			t.Error(got)
		}
		ask(la, 5, "a")
		ask(la, 6, "b")
		ask(la, 7, "c") // beyond the peer's
		if got := last(sa); got != "7: busy " {
			t.Error(got)
		}
		ask(lb, 1, "d")
		ask(lb, 2, "e") // beyond all
		if got := last(sb); got != "2: busy " {
			t.Error(got)
		}
		sb.hangUp(errors.New("gone"))
		if from := <-ended; from != lb.peer {
			t.Errorf("the handler of %s has ended", from)
		}
		close(release)
		synctest.Wait()
		if got := len(sentFrames(t, sa)); got != 7 {
			t.Errorf("%d answers", got)
		}
		want := RequestStats{Served: 2, Denied: 6, Busy: 2, Undelivered: 1, Misdeeds: 1}
		if got := r.Stats(); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

// Without Serve requests are refused; notices go to Notice.
func TestRequestsNoticesAndNoServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		h, r, stop := newRequests(t, textConfig{Notice: func(e Envelope) {
			got = append(got, string(e.From.Short())+string(e.Message))
		}})
		defer stop()
		l, s := upLink(t, h, 1)
		b, _ := bodyFrame(frameRequest, 1, wrapperspb.String("x"))
		deliver(t, l, string(b), string(noticeFrame([]byte("hello"))))
		synctest.Wait()
		if f := sentFrames(t, s); len(f) != 1 || f[0].code != RefusedLacking {
			t.Errorf("a request is answered with %+v", f)
		}
		if len(got) != 1 || got[0] != l.peer.Short()+"hello" {
			t.Errorf("notices %q", got)
		}
		if !r.Notify(l.peer, []byte("hi")) {
			t.Error("not sent")
		}
		if f := sentFrames(t, s); len(f) != 2 || f[1].kind != frameNotice || string(f[1].body) != "hi" {
			t.Errorf("sent %+v", f)
		}
	})
}

// A handler that panics ends Run with an error; calls end with ErrStopped.
func TestRequestsPanicAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		defer run(t, h)()
		r := NewRequests(channels[0], textConfig{
			Serve: func(context.Context, Envelope, *text) (*text, error) { panic("oops") }})
		l, _ := upLink(t, h, 1)
		done := make(chan error, 1)
		o, err := r.Start(l.peer, wrapperspb.String("x"), 0, func(_ *text, err error) { done <- err })
		if err != nil {
			t.Fatal(err)
		}
		b, _ := bodyFrame(frameRequest, 1, wrapperspb.String("x"))
		deliver(t, l, string(b))
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("Run: %v", err)
		}
		if err := <-done; !errors.Is(err, ErrStopped) || o.Cancel() {
			t.Errorf("the call ended with %v", err)
		}
		if _, err := r.Call(t.Context(), l.peer, wrapperspb.String("x"), 0); !errors.Is(err, ErrStopped) {
			t.Errorf("a call afterwards: %v", err)
		}
	})
}
