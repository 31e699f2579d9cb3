package muxertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// apart is a handler whose channel 1 waits until it is opened. It echoes the streams of /echo, and greets on /hello.
type apart struct {
	Inbox
	open        chan struct{}
	established atomic.Int32
	early       atomic.Bool       // something came before Established
	inside      [256]atomic.Int32 // calls of Deliver that are about a channel
	together    atomic.Bool       // two of them were about the same one
}

func (a *apart) Established() { a.established.Add(1) }

func (a *apart) Deliver(ctx context.Context, msgs []muxer.Message) error {
	a.early.CompareAndSwap(false, a.established.Load() == 0)
	in := &a.inside[msgs[0].Channel]
	if in.Add(1) > 1 {
		a.together.Store(true)
	}
	defer in.Add(-1)
	if msgs[0].Channel == 1 {
		select {
		case <-a.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return a.Inbox.Deliver(ctx, msgs)
}

func (a *apart) Serves(protocol string) bool { return protocol == "/echo" || protocol == "/hello" }

func (a *apart) ServeStream(_ context.Context, s muxer.Stream) {
	a.early.CompareAndSwap(false, a.established.Load() == 0)
	if s.Protocol() == "/hello" {
		_, _ = s.Write([]byte("hello"))
		return
	}
	_, _ = io.Copy(s, s)
}

// apartPair runs f with a running pair of sessions.
func (s Suite) apartPair(t *testing.T, f func(t *testing.T, a, b muxer.Session, hb *apart)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		channels := []muxer.Channel{{ID: 1, SendQueue: 64 << 10}, {ID: 2}}
		sa, sb := s.Factory(t, channels, channels)
		ha, hb := &apart{open: make(chan struct{})}, &apart{open: make(chan struct{})}
		a, b := &end{Session: sa}, &end{Session: sb}
		a.run(ha)
		b.run(hb)
		f(t, a, b, hb)
		a.Close(muxer.CodeRequested, "the test is over")
		for _, e := range []*end{a, b} {
			e.wait()
			e.cancel()
		}
		for _, h := range []*apart{ha, hb} {
			if h.early.Load() || h.established.Load() > 1 || h.together.Load() {
				t.Errorf("Established came %d times, late: %v; deliveries of one channel at once: %v",
					h.established.Load(), h.early.Load(), h.together.Load())
			}
		}
	})
}

// testSlowChannel lets the handler wait on one channel. Where the wire has streams the other one goes on.
func (s Suite) testSlowChannel(t *testing.T) {
	s.apartPair(t, func(t *testing.T, a, b muxer.Session, hb *apart) {
		if err := a.Send(t.Context(), 2, nil); err != nil {
			t.Fatal(err)
		}
		hb.Await(1)
		n := stuff(t, &end{Session: a}, 1, 32<<10)
		if s.Traits.Streams {
			for range 100 {
				if err := a.Send(t.Context(), 2, make([]byte, 50_000)); err != nil {
					t.Fatal(err)
				}
			}
			for got := 0; got < 100; {
				for _, m := range hb.Await(1) {
					if got++; m.Channel != 2 {
						t.Fatal("a message of the slow channel")
					}
				}
			}
		}
		close(hb.open)
		for got := 0; got < n; {
			got += len(hb.Await(1))
		}
	})
}

// testStreams opens byte streams, on a wire that has them.
func (s Suite) testStreams(t *testing.T) {
	s.apartPair(t, func(t *testing.T, a, b muxer.Session, hb *apart) {
		ctx := t.Context()
		st, err := a.OpenStream(ctx, "/echo")
		if !s.Traits.Streams {
			if !errors.Is(err, muxer.ErrNoStreams) {
				t.Errorf("a wire without streams: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		// More than any window, so that both directions have to go on at once.
		want := fill(8<<20, 1)
		go func() {
			if _, err := st.Write(want); err != nil {
				t.Error(err)
			}
			if err := st.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, want) || st.Protocol() != "/echo" {
			t.Errorf("an echo: %d of %d bytes, %v", len(got), len(want), err)
		}
		_ = st.Close()
		open := func(protocols ...string) muxer.Stream {
			st, err := a.OpenStream(ctx, protocols...)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		st = open("/hello") // the remote speaks first
		if got, err := io.ReadAll(st); err != nil || string(got) != "hello" {
			t.Errorf("a greeting: %q, %v", got, err)
		}
		st = open("/no", "/echo", "/hello")
		if _, err := st.Write([]byte("x")); err != nil || st.Protocol() != "/echo" {
			t.Errorf("the second of three protocols: %q, %v", st.Protocol(), err)
		}
		_ = st.CloseWrite()
		if got, err := io.ReadAll(st); err != nil || string(got) != "x" {
			t.Errorf("its echo: %q, %v", got, err)
		}
		for _, offers := range [][]string{{"/no"}, {"/no", "/neither"}} {
			st = open(offers...)
			if _, err := st.Read(make([]byte, 1)); !errors.Is(err, muxer.ErrUnknownProtocol) || st.Protocol() != "" {
				t.Errorf("%v: %v, %q", offers, err, st.Protocol())
			}
		}
		st = open("") // we negotiate
		if chosen, err := multistream.Select(st, []string{"/no", "/hello"}); err != nil || chosen != "/hello" {
			t.Errorf("a protocol that the caller negotiates: %q, %v", chosen, err)
		}
		if got, err := io.ReadAll(st); err != nil || string(got) != "hello" || st.Protocol() != "" {
			t.Errorf("its greeting: %q, %v; the stream's protocol is %q", got, err, st.Protocol())
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := a.OpenStream(ended, "/echo"); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		if _, err := a.OpenStream(ctx); err == nil {
			t.Error("a stream without a protocol")
		}
	})
}
