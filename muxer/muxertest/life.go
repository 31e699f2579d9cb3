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
		if _, err := a.Ping(ctx); s.Traits.AnswersAlways && err != nil {
			t.Errorf("a ping while the remote's handler waits: %v", err)
		} else if !s.Traits.AnswersAlways && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a ping that is not answered: %v", err)
		}
	})
}

func (s Suite) testStats(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, Priority: 3, SendQueue: 20_000}), func(t *testing.T, a, b *end) {
		for range 10 {
			a.Send(t.Context(), 1, make([]byte, 5000))
		}
		for got := 0; got < 10; {
			got += len(b.inbox.Await(1))
		}
		time.Sleep(100 * time.Millisecond) // virtual: what the ends still tell each other arrives
		synctest.Wait()
		sent, received := a.Stats(), b.Stats()
		if sent.SentMessages != 10 || received.ReceivedMessages != 10 {
			t.Errorf("10 messages count as %d sent and %d received", sent.SentMessages, received.ReceivedMessages)
		}
		if sent.SentBytes < 50_000 || sent.SentBytes > 60_000 || received.ReceivedBytes != sent.SentBytes {
			t.Errorf("50,000 bytes count as %d sent and %d received", sent.SentBytes, received.ReceivedBytes)
		}
		ours, theirs := a.ChannelStats(), b.ChannelStats()
		want := muxer.ChannelStats{ID: 1, Priority: 3, SendQueueCapacity: 20_000}
		if theirsWant := want; len(ours) != 1 || len(theirs) != 1 {
			t.Errorf("one channel has statistics %+v, %+v", ours, theirs)
		} else {
			want.SentMessages, want.SentBytes = 10, 50_000
			theirsWant.ReceivedMessages, theirsWant.ReceivedBytes = 10, 50_000
			if ours[0] != want || theirs[0] != theirsWant {
				t.Errorf("the channel's statistics are %+v, %+v, want %+v, %+v", ours[0], theirs[0], want, theirsWant)
			}
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
								e.ChannelStats()
								time.Sleep(200 * time.Microsecond) // virtual: time goes on only when all wait
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
