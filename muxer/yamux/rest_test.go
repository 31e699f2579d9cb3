package yamux

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// laneGoroutines is how many goroutines of sessions there are.
func laneGoroutines() int {
	buf := make([]byte, 1<<20)
	all := string(buf[:runtime.Stack(buf, true)])
	return strings.Count(all, "muxer.(*Lanes).readLoop(") + strings.Count(all, "muxer.(*Lanes).writeLoop(")
}

// A session that rests has no goroutine of its own, and comes back to life with the next message.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		type end struct {
			*muxer.Lanes
			inbox muxertest.Inbox
			ended chan error
		}
		start := func(s muxer.Streams) *end {
			e := &end{Lanes: muxer.NewLanes(s, muxer.LanesConfig{}), ended: make(chan error, 1)}
			if err := e.SetChannels(channelOne); err != nil {
				t.Fatal(err)
			}
			if err := e.Start(context.Background(), &e.inbox, func(err error) { e.ended <- err }); err != nil {
				t.Fatal(err)
			}
			if e.Start(context.Background(), &e.inbox, nil) == nil || e.Run(context.Background(), &e.inbox) == nil {
				t.Error("started twice")
			}
			return e
		}
		x, err := m.New(a, muxer.Dialer)
		if err != nil {
			t.Fatal(err)
		}
		y, err := m.New(b, muxer.Listener)
		if err != nil {
			t.Fatal(err)
		}
		d, l := start(x), start(y)
		synctest.Wait()
		if n := laneGoroutines(); n != 0 {
			t.Errorf("%d goroutines before anything happens", n)
		}
		long := make([]byte, 100_000) // not for the connection's goroutine
		for range 3 {
			for _, pair := range [][2]*end{{d, l}, {l, d}} {
				if err := pair[0].Send(t.Context(), 1, long); err != nil {
					t.Fatal(err)
				}
				if got := pair[1].inbox.Await(1); len(got) != 1 || len(got[0].Data) != len(long) {
					t.Errorf("%d messages", len(got))
				}
			}
			synctest.Wait()
			if n := laneGoroutines(); n != 4 {
				t.Errorf("%d goroutines behind messages in both directions, want 4", n)
			}
			time.Sleep(time.Minute) // virtual
			synctest.Wait()
			if n := laneGoroutines(); n != 0 {
				t.Errorf("%d goroutines of sessions that rest", n)
			}
		}
		_ = d.Close(muxer.CodeRequested, "enough")
		for _, e := range []*end{d, l} {
			if err := <-e.ended; err == nil {
				t.Error("it ended without a reason")
			}
		}
	})
}

// The round trip is known soon, without a ping of the session's own.
func TestRoundTripIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		x, y := pair(t, newWire(a), newWire(b), Config{}, channelOne, channelOne)
		var wg sync.WaitGroup
		for _, s := range []*muxer.Lanes{x, y} {
			s.Agreed()
			wg.Go(func() { s.Run(context.Background(), &muxertest.Inbox{}) })
		}
		time.Sleep(time.Second)
		for _, s := range []*muxer.Lanes{x, y} {
			if rtt := s.Stats().RTT; rtt <= 0 || rtt > time.Millisecond {
				t.Errorf("RTT %v", rtt)
			}
		}
		x.Close(muxer.CodeRequested, "")
		wg.Wait()
	})
}
