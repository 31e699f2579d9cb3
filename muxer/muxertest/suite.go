package muxertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Run proves that the sessions of a factory keep the contract of muxer.Session.
func Run(t *testing.T, traits Traits, f Factory) {
	s := Suite{traits, f}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"RoundTrip", s.testRoundTrip},
		{"Order", s.testOrder},
		{"ManySenders", s.testManySenders},
		{"SharedBuffer", s.testSharedBuffer},
		{"SendBeforeRun", s.testSendBeforeRun},
		{"Priority", s.testPriority},
		{"LateLane", s.testLateLane},
		{"Backpressure", s.testBackpressure},
		{"QueuesAreSeparate", s.testQueuesAreSeparate},
		{"OversizedForTheQueue", s.testOversizedForTheQueue},
		{"EmptyMessagesAreBounded", s.testEmptyMessagesAreBounded},
		{"SendHonoursContext", s.testSendHonoursContext},
		{"WaitersInOrder", s.testWaitersInOrder},
		{"UnknownChannel", s.testUnknownChannel},
		{"TooLargeToSend", s.testTooLargeToSend},
		{"TooLargeToReceive", s.testTooLargeToReceive},
		{"CloseFlushes", s.testCloseFlushes},
		{"CloseFlushesUnderASlowHandler", s.testCloseFlushesUnderASlowHandler},
		{"CloseOfAStuckRemote", s.testCloseOfAStuckRemote},
		{"CloseAtOnce", s.testCloseAtOnce},
		{"CloseTwice", s.testCloseTwice},
		{"CloseBeforeRun", s.testCloseBeforeRun},
		{"CloseInDeliver", s.testCloseInDeliver},
		{"CloseWakesEverybody", s.testCloseWakesEverybody},
		{"ContextEndsRun", s.testContextEndsRun},
		{"HandlerErrorEndsRun", s.testHandlerErrorEndsRun},
		{"SlowHandler", s.testSlowHandler},
		{"IdleForADay", s.testIdleForADay},
		{"Ping", s.testPing},
		{"Stats", s.testStats},
		{"Everything", s.testEverything},
	} {
		t.Run(c.name, c.test)
	}
}

func one(c muxer.Channel) []muxer.Channel { return []muxer.Channel{c} }

func (s Suite) testRoundTrip(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 5, MaxMessage: 4 << 20}), func(t *testing.T, a, b *end) {
		for _, n := range []int{0, 1, 2, 100, 127, 128, 1022, 1023, 1024, 1025, 2047, 2048, 2049, 65535, 65536, 65537, 1 << 20, 4 << 20} {
			want := fill(n, 1)
			for _, d := range [][2]*end{{a, b}, {b, a}} {
				if err := d[0].Send(t.Context(), 5, want); err != nil {
					t.Fatal(err)
				}
				got := d[1].inbox.Await(1)
				if len(got) != 1 || got[0].Channel != 5 || !bytes.Equal(got[0].Data, want) {
					t.Fatalf("a message of %d bytes did not arrive as it was sent", n)
				}
			}
		}
	})
}

func (s Suite) testOrder(t *testing.T) {
	channels := []muxer.Channel{{ID: 0}, {ID: 1, Priority: 7}, {ID: 0x7f, Priority: 3}, {ID: 0x80}, {ID: 0xff, Priority: 1000}}
	s.with(t, channels, func(t *testing.T, a, b *end) {
		const n = 500
		var wg sync.WaitGroup
		for _, c := range channels {
			wg.Go(func() {
				for i := range n {
					msg := make([]byte, 4+i*37%5000)
					binary.BigEndian.PutUint32(msg, uint32(i))
					if err := a.Send(t.Context(), c.ID, msg); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		next := map[byte]int{}
		for total := 0; total < n*len(channels); {
			for _, m := range b.inbox.Await(1) {
				i := int(binary.BigEndian.Uint32(m.Data))
				if i != next[m.Channel] || len(m.Data) != 4+i*37%5000 {
					t.Fatalf("channel %#x: message %d of %d bytes came where %d was due", m.Channel, i, len(m.Data), next[m.Channel])
				}
				next[m.Channel]++
				total++
			}
		}
		wg.Wait()
	})
}

func (s Suite) testManySenders(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 4096}), func(t *testing.T, a, b *end) {
		const senders, each = 50, 100
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				for j := range each {
					msg := make([]byte, 300)
					msg[0], msg[1] = byte(i), byte(j)
					if err := a.Send(t.Context(), 1, msg); err != nil {
						t.Error(err)
					}
				}
			})
		}
		next := [senders]byte{}
		for total := 0; total < senders*each; {
			for _, m := range b.inbox.Await(1) {
				if m.Data[1] != next[m.Data[0]] {
					t.Fatalf("sender %d: message %d came where %d was due", m.Data[0], m.Data[1], next[m.Data[0]])
				}
				next[m.Data[0]]++
				total++
			}
		}
		wg.Wait()
	})
}

func (s Suite) testSharedBuffer(t *testing.T) {
	s.with(t, []muxer.Channel{{ID: 1}, {ID: 2}}, func(t *testing.T, a, b *end) {
		shared := fill(100_000, 3)
		before := slices.Clone(shared)
		for range 20 {
			for _, e := range []*end{a, b} {
				for ch := byte(1); ch <= 2; ch++ {
					if err := e.Send(t.Context(), ch, shared); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, e := range []*end{a, b} {
			for total := 0; total < 40; {
				for _, m := range e.inbox.Await(1) {
					if !bytes.Equal(m.Data, before) {
						t.Fatal("a shared message was changed on its way")
					}
					clear(m.Data) // it is ours: nobody else may notice
					total++
				}
			}
		}
		if !bytes.Equal(shared, before) {
			t.Fatal("the sender's buffer was changed")
		}
	})
}

func (s Suite) testSendBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := one(muxer.Channel{ID: 1})
		sa, sb := s.Factory(t, c, c)
		a, b := &end{Session: sa}, &end{Session: sb}
		if err := a.Send(t.Context(), 1, []byte("early")); err != nil {
			t.Fatal(err)
		}
		a.run(&a.inbox)
		b.run(&b.inbox)
		if got := b.inbox.Await(1); string(got[0].Data) != "early" {
			t.Errorf("got %q", got[0].Data)
		}
		for _, e := range []*end{a, b} {
			e.Close(muxer.CodeRequested, "")
			e.wait()
			e.cancel()
		}
	})
}

// testPriority keeps two lanes full and looks at the shares that arrive.
func (s Suite) testPriority(t *testing.T) {
	channels := []muxer.Channel{{ID: 1, Priority: 1, SendQueue: 512 << 10}, {ID: 2, Priority: 4, SendQueue: 512 << 10}}
	s.with(t, channels, func(t *testing.T, a, b *end) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		b.inbox.Pause()
		for _, c := range channels {
			for range 8 { // the lane is refilled as soon as there is room
				wg.Go(func() {
					msg := make([]byte, 8<<10)
					for a.Send(ctx, c.ID, msg) == nil {
					}
				})
			}
		}
		synctest.Wait()
		b.inbox.Resume()
		var got [3]int
		for total := 0; total < 64<<20; {
			for _, m := range b.inbox.Await(1) {
				if total += len(m.Data); total > 4<<20 { // what was under way before both lanes were full does not count
					got[m.Channel] += len(m.Data)
				}
			}
		}
		cancel()
		wg.Wait()
		if ratio := float64(got[2]) / float64(got[1]); ratio < 3.4 || ratio > 4.6 {
			t.Errorf("priorities 1 and 4 got %d and %d bytes, a ratio of %.2f", got[1], got[2], ratio)
		}
	})
}

// testLateLane puts a small message into an idle lane of the lowest priority while a lane of the highest is full.
func (s Suite) testLateLane(t *testing.T) {
	channels := []muxer.Channel{{ID: 1, Priority: 1}, {ID: 2, Priority: 1000, SendQueue: 32 << 20}}
	s.with(t, channels, func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		const n = 500
		for range n {
			if err := a.Send(t.Context(), 2, make([]byte, 60_000)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := a.Send(t.Context(), 1, []byte{1}); err != nil {
			t.Fatal(err)
		}
		b.inbox.Resume()
		for at := 0; at < n+1; {
			for _, m := range b.inbox.Await(1) {
				if m.Channel == 1 {
					if at > n-50 {
						t.Errorf("a message of 1 byte had to wait for %d messages of another channel", at)
					}
					return
				}
				at++
			}
		}
	})
}

// stuff sends on a channel of e until its queue is full, and says how many messages that took.
func stuff(t *testing.T, e *end, channel byte, size int) int {
	t.Helper()
	n := 0
	for {
		synctest.Wait() // the writer has taken what it can
		if !e.TrySend(channel, make([]byte, size)) {
			return n
		}
		if n++; n > 1<<20 {
			t.Fatal("a queue that nobody reads never gets full")
		}
	}
}

func (s Suite) testBackpressure(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 256 << 10}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		const size = 32 << 10
		n := stuff(t, a, 1, size)
		if held := n * size; held > 4<<20 {
			t.Errorf("a session whose remote does not read holds %d bytes", held)
		}
		dropped := a.Stats().Dropped
		if dropped == 0 {
			t.Error("the message that TrySend refused was not counted")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Send(ctx, 1, make([]byte, size)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send on a full queue: %v", err)
		}
		// The other direction goes on.
		if err := b.Send(t.Context(), 1, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		a.inbox.Await(1)
		b.inbox.Resume()
		for got := 0; got < n; {
			got += len(b.inbox.Await(1))
		}
		synctest.Wait()
		if extra := b.inbox.Len(); extra != 0 {
			t.Errorf("%d messages came that Send and TrySend had refused", extra)
		}
		if !a.TrySend(1, []byte("again")) {
			t.Error("TrySend still refuses")
		}
		b.inbox.Await(1)
	})
}

func (s Suite) testQueuesAreSeparate(t *testing.T) {
	s.with(t, []muxer.Channel{{ID: 1, SendQueue: 8 << 10}, {ID: 2, SendQueue: 8 << 10}}, func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		stuff(t, a, 1, 4<<10)
		if !a.TrySend(2, make([]byte, 4<<10)) {
			t.Error("a full queue of one channel refuses the messages of another")
		}
	})
}

func (s Suite) testOversizedForTheQueue(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 1, MaxMessage: 1 << 20}), func(t *testing.T, a, b *end) {
		for range 5 {
			if err := a.Send(t.Context(), 1, make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		for got := 0; got < 5; {
			got += len(b.inbox.Await(1))
		}
	})
}

func (s Suite) testEmptyMessagesAreBounded(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 1 << 10}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		for range 4 << 20 {
			if !a.TrySend(1, nil) {
				return
			}
			if a.Stats().SentMessages > 0 { // let the writer come to a halt first
				synctest.Wait()
			}
		}
		t.Error("four million empty messages found room in a queue of 1 KiB")
	})
}

func (s Suite) testSendHonoursContext(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 1}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		n := stuff(t, a, 1, 64<<10)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- a.Send(ctx, 1, []byte("lost")) }()
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Send with a cancelled context: %v", err)
		}
		if err := a.Send(ctx, 1, []byte("lost")); !errors.Is(err, context.Canceled) {
			t.Errorf("Send with a context cancelled before: %v", err)
		}
		b.inbox.Resume()
		if err := a.Send(t.Context(), 1, []byte("kept")); err != nil {
			t.Fatal(err)
		}
		for got := 0; got <= n; {
			for _, m := range b.inbox.Await(1) {
				if string(m.Data) == "lost" {
					t.Error("a message came whose Send had failed")
				}
				got++
			}
		}
	})
}

func (s Suite) testWaitersInOrder(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 1}), func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		n := stuff(t, a, 1, 64<<10)
		const waiters = 100
		var wg sync.WaitGroup
		for i := range waiters {
			wg.Go(func() {
				ctx := t.Context()
				if i%3 == 1 { // some give up, from anywhere in the line
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				a.Send(ctx, 1, []byte{byte(i)})
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Second) // virtual
		b.inbox.Resume()
		wg.Wait()
		want := 0
		for seen := 0; want < waiters; {
			for _, m := range b.inbox.Await(1) {
				if seen++; seen <= n {
					continue
				}
				if int(m.Data[0]) != want {
					t.Fatalf("waiting sender %d came through where %d was due", m.Data[0], want)
				}
				if want++; want%3 == 1 {
					want++
				}
			}
		}
	})
}

func (s Suite) testUnknownChannel(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		if err := a.Send(t.Context(), 2, nil); !errors.Is(err, muxer.ErrUnknownChannel) {
			t.Errorf("Send: %v", err)
		}
		if a.TrySend(2, nil) {
			t.Error("TrySend took it")
		}
		if err := a.Send(t.Context(), 1, nil); err != nil {
			t.Errorf("and the session suffered: %v", err)
		}
		b.inbox.Await(1)
	})
}

func (s Suite) testTooLargeToSend(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, MaxMessage: 1000}), func(t *testing.T, a, b *end) {
		if err := a.Send(t.Context(), 1, make([]byte, 1001)); !errors.Is(err, muxer.ErrMessageTooLarge) {
			t.Errorf("Send: %v", err)
		}
		if a.TrySend(1, make([]byte, 1001)) {
			t.Error("TrySend took it")
		}
		if err := a.Send(t.Context(), 1, make([]byte, 1000)); err != nil {
			t.Errorf("the longest message that is allowed: %v", err)
		}
		b.inbox.Await(1)
	})
}

func (s Suite) testTooLargeToReceive(t *testing.T) {
	for _, size := range []int{1001, 5000, 1 << 20} {
		s.withEach(t, one(muxer.Channel{ID: 1}), one(muxer.Channel{ID: 1, MaxMessage: 1000}), func(t *testing.T, a, b *end) {
			a.Send(t.Context(), 1, make([]byte, 1000))
			a.Send(t.Context(), 1, make([]byte, size))
			var ce *muxer.CloseError
			if err := b.wait(); !errors.As(err, &ce) || ce.Code != muxer.CodeMessageTooBig || ce.Remote {
				t.Errorf("Run: %v", err)
			}
			if n := b.inbox.Len(); n != 1 {
				t.Errorf("%d messages were delivered, want the one before", n)
			}
			a.wait()
		})
	}
}

// gone checks why the remote of a Close ended.
func (s Suite) gone(t *testing.T, err error, code muxer.Code, reason string) {
	t.Helper()
	var ce *muxer.CloseError
	switch {
	case s.Traits.CarriesCode:
		if !errors.As(err, &ce) || !ce.Remote || ce.Code != code || ce.Reason != reason {
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
				if _, err := a.Ping(t.Context()); err == nil {
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

// testSlowHandler lets one end's handler sleep for five minutes: the link lives on, and carries the other direction.
func (s Suite) testSlowHandler(t *testing.T) {
	s.with(t, []muxer.Channel{{ID: 1, SendQueue: 64 << 10}, {ID: 2}}, func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		n := stuff(t, a, 1, 32<<10)
		for range 5 {
			time.Sleep(time.Minute) // virtual
			if err := b.Send(t.Context(), 2, []byte("still here")); err != nil {
				t.Fatal(err)
			}
			a.inbox.Await(1)
		}
		select {
		case <-a.ended:
			t.Fatalf("the link ended at the sender: %v", a.err)
		case <-b.ended:
			t.Fatalf("the link ended at the slow receiver: %v", b.err)
		default:
		}
		b.inbox.Resume()
		for got := 0; got < n; {
			got += len(b.inbox.Await(1))
		}
		if err := a.Send(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		b.inbox.Await(1)
		time.Sleep(10 * time.Minute)
		if err := a.Send(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		b.inbox.Await(1)
	})
}

func (s Suite) testIdleForADay(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		time.Sleep(24 * time.Hour) // virtual
		for _, d := range [][2]*end{{a, b}, {b, a}} {
			if err := d[0].Send(t.Context(), 1, nil); err != nil {
				t.Fatal(err)
			}
			d[1].inbox.Await(1)
		}
	})
}

func (s Suite) testPing(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		var wg sync.WaitGroup
		for _, e := range []*end{a, b} {
			for range 20 {
				wg.Go(func() {
					if rtt, err := e.Ping(t.Context()); err != nil || rtt < 0 || rtt > time.Second {
						t.Errorf("Ping: %v, %v", rtt, err)
					}
				})
			}
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b.inbox.Pause()
		stuff(t, a, 1, 64<<10)
		if _, err := a.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a ping that is not answered: %v", err)
		}
	})
}

func (s Suite) testStats(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		for range 10 {
			a.Send(t.Context(), 1, make([]byte, 5000))
		}
		for got := 0; got < 10; {
			got += len(b.inbox.Await(1))
		}
		synctest.Wait()
		sent, received := a.Stats(), b.Stats()
		if sent.SentMessages != 10 || received.ReceivedMessages != 10 {
			t.Errorf("10 messages count as %d sent and %d received", sent.SentMessages, received.ReceivedMessages)
		}
		if sent.SentBytes < 50_000 || sent.SentBytes > 60_000 || received.ReceivedBytes != sent.SentBytes {
			t.Errorf("50,000 bytes count as %d sent and %d received", sent.SentBytes, received.ReceivedBytes)
		}
	})
}

// testEverything uses all methods at once from many goroutines, until an end closes in the middle.
func (s Suite) testEverything(t *testing.T) {
	channels := []muxer.Channel{{ID: 1, SendQueue: 10_000}, {ID: 2, Priority: 5, SendQueue: 100}, {ID: 3}}
	for round := range 5 {
		s.with(t, channels, func(t *testing.T, a, b *end) {
			var wg sync.WaitGroup
			for i, e := range []*end{a, b} {
				for j := range 12 {
					wg.Go(func() {
						msg := fill(100+j*700, uint64(i))
						for k := 0; ; k++ {
							ctx, cancel := context.WithTimeout(t.Context(), time.Duration(k%3)*time.Millisecond)
							err := e.Send(ctx, byte(1+(j+k)%3), msg)
							cancel()
							if err != nil && !errors.Is(err, context.DeadlineExceeded) {
								return
							}
							e.TrySend(byte(1+k%3), msg[:j])
							if k%50 == j {
								e.Ping(t.Context())
								e.Stats()
							}
						}
					})
				}
				wg.Go(func() {
					for n := 0; n < 300*(round+1); n++ {
						if len(e.inbox.Await(1)) > 0 && n%40 == 20 {
							e.inbox.Pause()
							time.Sleep(time.Millisecond)
							e.inbox.Resume()
						}
						select {
						case <-e.ended:
							return
						default:
						}
						if n == 250 && i == round%2 {
							e.Close(muxer.Code(round), "enough")
							return
						}
					}
				})
			}
			a.wait()
			b.wait()
			// Await must not wait for what no longer comes.
			a.inbox.Deliver(t.Context(), []muxer.Message{{}})
			b.inbox.Deliver(t.Context(), []muxer.Message{{}})
			wg.Wait()
		})
	}
}
