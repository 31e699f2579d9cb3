package host

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Handlers run at once for several peers, and for one peer one after the other, in order. One that blocks holds up its
// peer alone.
func TestServeParallel(t *testing.T) {
	const peers, each, handlers = 8, 300, 3
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1, ReceiveQueue: 4 << 10})
		defer run(t, h)()
		var mu sync.Mutex
		busy, most := map[transport.NodeID]bool{}, 0
		count := map[transport.NodeID]uint64{}
		blocked := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- channels[0].ServeParallel(ctx, handlers, func(_ context.Context, e Envelope) error {
				mu.Lock()
				if busy[e.From] {
					t.Error("two handlers are at messages of one peer")
				}
				busy[e.From] = true
				most = max(most, len(busy))
				if got := binary.BigEndian.Uint64(e.Message); got != count[e.From] {
					t.Errorf("message %d after %d others", got, count[e.From])
				}
				count[e.From]++
				pause := time.Duration(rand.IntN(3)) * time.Millisecond
				mu.Unlock()
				if time.Sleep(pause); e.From == peerID(1) {
					<-blocked
				}
				mu.Lock()
				defer mu.Unlock()
				delete(busy, e.From)
				return nil
			})
		}()
		var senders sync.WaitGroup
		for n := range peers {
			l, _ := testLink(h, n+1, muxer.Listener, true)
			peeringOf(l)
			senders.Go(func() {
				for i := range uint64(each) {
					msgs := []muxer.Message{{Channel: 1, Data: serial(i, 100)}}
					if err := l.Deliver(context.Background(), msgs); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(time.Hour)
		mu.Lock()
		for n := range peers {
			want := uint64(each)
			if n == 0 {
				want = 1
			}
			if got := count[peerID(n+1)]; got != want {
				t.Errorf("%d messages of peer %d were handled while a handler blocked, want %d", got, n+1, want)
			}
		}
		mu.Unlock()
		close(blocked)
		senders.Wait()
		time.Sleep(time.Hour)
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Errorf("ServeParallel returned %v", err)
		}
		if n := count[peerID(1)]; n != each || most != handlers || h.memory.used.Load() != 0 {
			t.Errorf("%d messages of the first peer, %d handlers at once, %d bytes held", n, most, h.memory.used.Load())
		}
	})
}

// The first handler that fails or panics ends all; the host's stop does too.
func TestServeParallelEnds(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		handle func(context.Context) error
		want   string
	}{
		"failure": {func(context.Context) error { return failed }, "failed"},
		"panic":   {func(context.Context) error { panic("boom") }, "service of channel 0x01 panicked: boom"},
		"stop": {func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, ErrStopped.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1, Name: "0x01"})
				stop := run(t, h)
				served := make(chan error, 1)
				go func() {
					served <- channels[0].ServeParallel(t.Context(), 2, func(ctx context.Context, e Envelope) error {
						if e.From == peerID(1) { // until the other one ends it
							<-ctx.Done()
							return nil
						}
						return c.handle(ctx)
					})
				}()
				for n := range 2 {
					l, _ := upLink(t, h, n+1)
					deliver(t, l, "x", "y")
					synctest.Wait()
				}
				stop()
				if err := <-served; err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("ServeParallel returned %v, want %s", err, c.want)
				}
				if name == "panic" && h.memory.used.Load() != 0 {
					t.Errorf("%d bytes are held by a channel that is down", h.memory.used.Load())
				}
			})
		})
	}
}
