package peers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func drain(t *testing.T, s *Subscription) (out []string) {
	t.Helper()
	for {
		u, ok, err := s.take()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		what := "up "
		if u.Status == Down {
			what = "down "
			if u.Reason == nil {
				t.Fatal("down without a reason")
			}
		}
		out = append(out, what+u.ID.Short()+" "+string(u.Channels))
	}
}

func TestSubscriptionCoalesces(t *testing.T) {
	m := newPM(t, Config{})
	ready := func(id transport.NodeID, channels string) uint64 {
		t.Helper()
		l, err := m.accepted(id)
		if err != nil {
			t.Fatal(err)
		}
		m.establish(id, l)
		if !m.Ready(id, l, l, []byte(channels)) {
			t.Fatal("not ready")
		}
		return l
	}
	a, b := transport.NodeID("aaaaaaaa"+string(lowID(1))[8:]), transport.NodeID("bbbbbbbb"+string(lowID(1))[8:])
	la := ready(a, "x")
	s := m.Subscribe(t.Context())
	defer s.Close()
	check := func(when string, want ...string) {
		t.Helper()
		if got := drain(t, s); !slices.Equal(got, want) {
			t.Fatalf("%s: %q, want %q", when, got, want)
		}
	}
	check("those that are up come first", "up aaaaaaaa x")
	m.down(a, la, muxer.CodeRemoteClosed)
	la = ready(a, "y")
	check("down and up again", "down aaaaaaaa x", "up aaaaaaaa y")
	for range 5 {
		m.down(a, la, muxer.CodeRemoteClosed)
		la = ready(a, "z")
	}
	check("five times", "down aaaaaaaa y", "up aaaaaaaa z")
	lb := ready(b, "x")
	m.down(b, lb, muxer.CodeRemoteClosed)
	check("came and went unseen")
	lb = ready(b, "x")
	m.down(a, la, muxer.CodeRemoteClosed)
	m.down(b, lb, muxer.CodeRemoteClosed)
	lb = ready(b, "x")
	check("in order of their waiting", "down aaaaaaaa z", "up bbbbbbbb x")
	m.Ready(b, lb, lb, []byte("x"))
	check("nothing new")
	m.Ready(b, lb, lb, []byte("xy"))
	check("other channels", "up bbbbbbbb xy")
	m.down(b, lb, muxer.CodeRemoteClosed)
	check("down", "down bbbbbbbb xy")
	if len(s.pending)+len(s.order)+len(s.seen) != 0 {
		t.Fatalf("kept: %v %v %v", s.pending, s.order, s.seen)
	}
}

func TestSubscriptionIsBounded(t *testing.T) {
	m := newPM(t, Config{})
	s := m.Subscribe(t.Context())
	defer s.Close()
	for range 1000 {
		for i := range 5 {
			l := m.up(lowID(i))
			if i != 4 {
				m.down(lowID(i), l, muxer.CodeRemoteClosed)
			} else {
				defer m.down(lowID(i), l, muxer.CodeRemoteClosed)
			}
		}
		m.down(lowID(4), m.mustLink(lowID(4)), muxer.CodeRemoteClosed)
	}
	if len(s.pending) > 5 || len(s.order) > 5 {
		t.Fatalf("%d pending, %d in order", len(s.pending), len(s.order))
	}
}

func TestSubscriptionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		whole, cancelWhole := context.WithCancel(t.Context())
		one, cancelOne := context.WithCancel(t.Context())
		s := m.Subscribe(whole)
		errs := make(chan error, 1)
		next := func(ctx context.Context) {
			_, err := s.Next(ctx)
			errs <- err
		}
		go next(one)
		synctest.Wait()
		cancelOne()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		go next(t.Context())
		synctest.Wait()
		m.up(lowID(1))
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		go next(t.Context())
		synctest.Wait()
		cancelWhole()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		s.Close()
		synctest.Wait()
		m.mu.Lock()
		n := len(m.subs)
		m.mu.Unlock()
		if n != 0 {
			t.Fatalf("%d subscriptions are left", n)
		}

		s = m.Subscribe(t.Context())
		s.Close()
		s.Close()
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		s = m.Subscribe(ended)
		synctest.Wait()
		if _, err := s.Next(t.Context()); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}
