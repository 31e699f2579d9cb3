package muxertest

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// gone checks why the remote of a Close ended.
func (s Suite) gone(t *testing.T, err error, code muxer.Code, reason string) {
	t.Helper()
	var ce *muxer.CloseError
	switch {
	case s.Traits.CarriesCode:
		if !errors.As(err, &ce) || !ce.Remote || ce.Code != code || s.Traits.CarriesReason && ce.Reason != reason {
			t.Errorf("the remote's Run: %v, want %v: %s", err, code, reason)
		}
	case errors.Is(err, io.EOF), errors.As(err, &ce) && ce.Remote && ce.Code == muxer.CodeRemoteClosed:
	default:
		t.Errorf("the remote's Run: %v", err)
	}
}

func closedBy(t *testing.T, err error, code muxer.Code) {
	t.Helper()
	var ce *muxer.CloseError
	if !errors.Is(err, muxer.ErrClosed) || !errors.As(err, &ce) || ce.Code != code || ce.Remote {
		t.Errorf("after a Close with %v: %v", code, err)
	}
}

func (s Suite) testCloseFlushes(t *testing.T) {
	s.with(t, []muxer.Channel{{ID: 1}, {ID: 2}}, func(t *testing.T, a, b *end) {
		for i := range 100 {
			if err := a.Send(t.Context(), byte(1+i%2), fill(5000, uint64(i))); err != nil {
				t.Fatal(err)
			}
		}
		a.Close(muxer.CodeShuttingDown, "bye")
		closedBy(t, a.wait(), muxer.CodeShuttingDown)
		s.gone(t, b.wait(), muxer.CodeShuttingDown, "bye")
		if n := b.inbox.Len(); n != 100 {
			t.Errorf("%d of 100 messages arrived that were queued before an orderly Close", n)
		}
		closedBy(t, a.Send(t.Context(), 1, nil), muxer.CodeShuttingDown)
		if b.Send(t.Context(), 1, nil) == nil || b.TrySend(1, nil) {
			t.Error("the remote still takes messages")
		}
	})
}

// testCloseFlushesUnderASlowHandler closes an end whose own handler waits: that must not cost what is queued.
func (s Suite) testCloseFlushesUnderASlowHandler(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		a.inbox.Pause()
		b.Send(t.Context(), 1, nil)
		a.inbox.AwaitPaused()
		for i := range 100 {
			if err := a.Send(t.Context(), 1, fill(5000, uint64(i))); err != nil {
				t.Fatal(err)
			}
		}
		a.Close(muxer.CodeShuttingDown, "bye")
		closedBy(t, a.wait(), muxer.CodeShuttingDown)
		b.wait()
		if n := b.inbox.Len(); n != 100 {
			t.Errorf("%d of 100 messages arrived", n)
		}
	})
}

func (s Suite) testCloseOfAStuckRemote(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 64 << 10}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		stuff(t, a, 1, 32<<10)
		start := time.Now()
		a.Close(muxer.CodeShuttingDown, "bye")
		closedBy(t, a.wait(), muxer.CodeShuttingDown)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close waited %v for a remote that does not read", took)
		}
	})
}

func (s Suite) testCloseAtOnce(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 64 << 10}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		stuff(t, a, 1, 32<<10)
		start := time.Now()
		a.Close(muxer.CodeProtocolError, "you broke it")
		closedBy(t, a.wait(), muxer.CodeProtocolError)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("a Close that is not orderly took %v", took)
		}
		b.inbox.Resume()
		b.wait()
	})
}

func (s Suite) testCloseTwice(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		a.Close(muxer.CodeEvicted, "first")
		a.Close(muxer.CodeBanned, "second")
		closedBy(t, a.wait(), muxer.CodeEvicted)
		a.Close(muxer.CodeBanned, "third")
		closedBy(t, a.Send(t.Context(), 1, nil), muxer.CodeEvicted)
		s.gone(t, b.wait(), muxer.CodeEvicted, "first")
	})
}

func (s Suite) testCloseBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := one(muxer.Channel{ID: 1})
		a, b := s.Factory(t, c, c)
		a.Close(muxer.CodeDuplicate, "")
		closedBy(t, a.Run(t.Context(), &Inbox{}), muxer.CodeDuplicate)
		if b.Run(t.Context(), &Inbox{}) == nil {
			t.Error("the remote's Run returned nil")
		}
	})
}

func (s Suite) testCloseInDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := one(muxer.Channel{ID: 1})
		sa, sb := s.Factory(t, c, c)
		a, b := &end{Session: sa}, &end{Session: sb}
		b.inbox.OnDeliver = func([]muxer.Message) error { return b.Close(muxer.CodeMisbehaved, "") }
		a.run(&a.inbox)
		b.run(&b.inbox)
		a.Send(t.Context(), 1, nil)
		closedBy(t, b.wait(), muxer.CodeMisbehaved)
		a.wait()
		a.cancel()
		b.cancel()
	})
}

func (s Suite) testCloseWakesEverybody(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 1}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		stuff(t, a, 1, 64<<10)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { closedBy(t, a.Send(t.Context(), 1, nil), muxer.CodeBanned) })
			wg.Go(func() {
				if _, err := a.Ping(t.Context()); err == nil && !s.Traits.AnswersAlways {
					t.Error("a remote that does not read has answered a ping")
				}
			})
		}
		synctest.Wait()
		a.Close(muxer.CodeBanned, "")
		wg.Wait()
		a.wait()
		if _, err := a.Ping(t.Context()); !errors.Is(err, muxer.ErrClosed) {
			t.Errorf("Ping after the end: %v", err)
		}
		b.inbox.Resume()
		b.wait()
	})
}

func (s Suite) testContextEndsRun(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		a.cancel()
		closedBy(t, a.wait(), muxer.CodeShuttingDown)
		b.wait()
	})
	// And it ends a Deliver that waits.
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		a.Send(t.Context(), 1, nil)
		b.inbox.AwaitPaused()
		b.cancel()
		closedBy(t, b.wait(), muxer.CodeShuttingDown)
	})
}

func (s Suite) testHandlerErrorEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := one(muxer.Channel{ID: 1})
		sa, sb := s.Factory(t, c, c)
		a, b := &end{Session: sa}, &end{Session: sb}
		broken := errors.New("broken")
		b.inbox.OnDeliver = func([]muxer.Message) error { return fmt.Errorf("handler: %w", broken) }
		a.run(&a.inbox)
		b.run(&b.inbox)
		a.Send(t.Context(), 1, nil)
		if err := b.wait(); !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
		if err := b.Send(t.Context(), 1, nil); !errors.Is(err, broken) {
			t.Errorf("Send afterwards: %v", err)
		}
		a.wait()
		a.cancel()
		b.cancel()
	})
}
