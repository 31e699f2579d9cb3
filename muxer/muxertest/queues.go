package muxertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// testPriority fills two lanes and looks at the shares that arrive as long as neither is empty.
func (s Suite) testPriority(t *testing.T) {
	channels := []muxer.Channel{{ID: 1, Priority: 1, SendQueue: 16 << 20}, {ID: 2, Priority: 4, SendQueue: 32 << 20}}
	s.with(t, channels, func(t *testing.T, a, b *end) {
		b.inbox.Pause()
		for _, c := range channels {
			for range c.SendQueue / 2 / (8 << 10) { // a message may count for more than its bytes
				if err := a.Send(t.Context(), c.ID, make([]byte, 8<<10)); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		b.inbox.Resume()
		var got [3]int
		// what was under way before both lanes were full does not count, nor what comes when one is empty
		const begin, end = 4 << 20, 14 << 20
		for total := 0; total < end; {
			for _, m := range b.inbox.Await(1) {
				if total += len(m.Data); total > begin && total <= end {
					got[m.Channel] += len(m.Data)
				}
			}
		}
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
			time.Sleep(10 * time.Millisecond) // virtual: a wire may pace what it sends
			synctest.Wait()
			if !e.TrySend(channel, make([]byte, size)) {
				return n
			}
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
		st := a.ChannelStats()[0]
		if st.SendQueueCapacity != 256<<10 || st.SendQueue <= st.SendQueueCapacity-2*size ||
			st.SendQueue > st.SendQueueCapacity || st.SendQueueMessages*(size+muxer.MessageOverhead) != st.SendQueue {
			t.Errorf("a full queue of messages of %d bytes has statistics %+v", size, st)
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
		if st := a.ChannelStats()[0]; st.SendQueue != 0 || st.SendQueueMessages != 0 || st.SentMessages != uint64(n) ||
			st.SentBytes != uint64(n*size) {
			t.Errorf("after %d messages of %d bytes an empty queue has statistics %+v", n, size, st)
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
