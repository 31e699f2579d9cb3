package host

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

func TestWatchersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		stop := run(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		goes, stays := h.Events(ctx), h.Events(context.Background())
		upLink(t, h, 1)
		for _, w := range []<-chan Event{goes, stays} {
			if e := <-w; e.Kind != EventUp || e.ID != peerID(1) || e.Time.IsZero() || !e.Inbound ||
				e.Address != "/ip4/90.0.1.1/tcp/1000" {
				t.Errorf("heard %+v", e)
			}
		}
		cancel()
		synctest.Wait()
		if _, ok := <-goes; ok {
			t.Error("a watcher whose context has ended heard more")
		}
		dead, end := context.WithCancel(t.Context())
		end()
		if _, ok := <-h.Events(dead); ok {
			t.Error("a watcher without time heard something")
		}
		_, s := upLink(t, h, 2)
		time.Sleep(time.Second)
		s.hangUp(&muxer.CloseError{Code: muxer.CodeEvicted, Remote: true, Reason: "full"})
		synctest.Wait()
		if e := <-stays; e.Kind != EventUp || e.ID != peerID(2) {
			t.Errorf("heard %+v", e)
		}
		if e := <-stays; e.Kind != EventDown || e.ID != peerID(2) || e.Duration != time.Second ||
			e.Reason.Code != muxer.CodeEvicted || !e.Reason.Remote {
			t.Errorf("heard %+v", e)
		}
		stop()
		if e, ok := <-stays; !ok || e.Kind != EventDown || e.ID != peerID(1) ||
			e.Reason.Code != muxer.CodeShuttingDown {
			t.Errorf("at the stop: %+v", e)
		}
		if _, ok := <-stays; ok {
			t.Error("the watcher was not closed")
		}
		if _, ok := <-h.Events(context.Background()); ok {
			t.Error("a watcher of a host that has stopped")
		}
	})
}

// A watcher that does not listen loses what is beyond its buffer, and nobody waits for it. Beyond 64 nobody watches.
func TestWatchersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newTestHost(t, testConfig())
		ctx, cancel := context.WithCancel(t.Context())
		var watchers []<-chan Event
		for range maxEventStream {
			watchers = append(watchers, h.Events(ctx))
		}
		if _, ok := <-h.Events(ctx); ok {
			t.Error("one watcher too many was let in")
		}
		for range eventBuffer + 10 {
			h.emit(Event{Kind: EventUp})
		}
		for _, w := range watchers {
			if len(w) != eventBuffer {
				t.Errorf("%d events wait", len(w))
			}
		}
		cancel()
		synctest.Wait()
		if len(h.journal.watchers) != 0 {
			t.Errorf("%d watchers are left", len(h.journal.watchers))
		}
	})
}
