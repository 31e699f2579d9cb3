package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// upLink brings a link of the n-th peer up in a host that runs, and waits for it.
func upLink(t testing.TB, h *Host, n int) (*link, *fakeSession) {
	t.Helper()
	l, s := testLink(h, n, muxer.Listener, true)
	handOn(h, l)
	synctest.Wait()
	if h.links.of(l.peer) != l {
		t.Fatalf("the link of peer %d is not up: %v", n, l.reason)
	}
	return l, s
}

func peerID(n int) transport.NodeID { return testKey(n).ID() }

func TestChannelSendsToPeersThatServeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1}, muxer.Channel{ID: 2})
		defer run(t, h)()
		ctx := t.Context()
		one, two := channels[0], channels[1]
		_, both := upLink(t, h, 1)
		deaf, other := testLink(h, 2, muxer.Listener, true)
		deaf.channels = []byte{2}
		handOn(h, deaf)
		synctest.Wait()

		if err := one.Send(ctx, peerID(1), []byte("a")); err != nil {
			t.Error(err)
		}
		if !one.TrySend(peerID(1), []byte("b")) {
			t.Error("TrySend failed")
		}
		if err := one.Send(ctx, peerID(2), nil); !errors.Is(err, ErrNoSuchChannel) {
			t.Errorf("to a peer that does not serve the channel: %v", err)
		}
		if one.TrySend(peerID(2), nil) {
			t.Error("TrySend to a peer that does not serve the channel")
		}
		if err := one.Send(ctx, peerID(3), nil); !errors.Is(err, ErrNotConnected) {
			t.Errorf("to a peer that is not up: %v", err)
		}
		if one.TrySend(peerID(3), nil) {
			t.Error("TrySend to a peer that is not up")
		}
		if n := one.Broadcast([]byte("c")); n != 1 {
			t.Errorf("the broadcast on channel 1 was taken by %d", n)
		}
		if n := two.Broadcast([]byte("d")); n != 2 {
			t.Errorf("the broadcast on channel 2 was taken by %d", n)
		}
		if got := fmt.Sprintf("%s", both.sent[1]); got != "[a b c]" {
			t.Errorf("peer 1 was sent %s", got)
		}
		if len(other.sent[1]) != 0 || len(other.sent[2]) != 1 {
			t.Errorf("peer 2 was sent %v", other.sent)
		}
		if one.refused.Load() != 0 {
			t.Error("what was never queued is counted as refused")
		}

		both.full = true
		if one.TrySend(peerID(1), nil) || one.Broadcast(nil) != 0 || one.refused.Load() != 2 {
			t.Errorf("two messages did not fit, %d are counted", one.refused.Load())
		}
		both.hangUp(errors.New("gone"))
		synctest.Wait()
		if err := one.Send(ctx, peerID(1), nil); !errors.Is(err, ErrNotConnected) {
			t.Errorf("to a peer that has gone: %v", err)
		}
	})
}

func TestChannelsAreOpenedBeforeTheHostRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newTestHost(t, testConfig(), muxer.Channel{ID: 1, Name: "first"})
		refuse := func(desc muxer.Channel, want string) {
			t.Helper()
			if _, err := h.OpenChannel(desc); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want it to say %q", desc, err, want)
			}
		}
		refuse(muxer.Channel{ID: 1, Name: "second"}, "already open as first")
		refuse(muxer.Channel{ID: 2, Priority: -1}, "priority")
		for i := range 15 {
			if _, err := h.OpenChannel(muxer.Channel{ID: byte(10 + i)}); err != nil {
				t.Fatal(err)
			}
		}
		refuse(muxer.Channel{ID: 200}, "at most 16 channels")
		if d := h.channels[1].Descriptor(); d.ReceiveQueue != muxer.DefaultQueue || d.Name == "" {
			t.Errorf("the descriptor lacks defaults: %+v", d)
		}
		defer run(t, h)()
		if _, err := h.OpenChannel(muxer.Channel{ID: 201}); !errors.Is(err, ErrStarted) {
			t.Errorf("a channel of a host that runs: %v", err)
		}
		if err := h.Run(t.Context()); !errors.Is(err, ErrStarted) {
			t.Errorf("a second Run: %v", err)
		}
	})
}

// deliver gives a link messages of channel 1, as its session does.
func deliver(t testing.TB, l *link, msgs ...string) {
	t.Helper()
	for _, m := range msgs {
		if err := l.Deliver(t.Context(), []muxer.Message{{Channel: 1, Data: []byte(m)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReceiveEndsWithItsContextAndWithTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		stop := run(t, h)
		c := channels[0]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := c.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		l, _ := upLink(t, h, 1)
		ended := make(chan error, 1)
		go func() {
			_, err := c.Receive(context.Background())
			ended <- err
		}()
		synctest.Wait()
		deliver(t, l, "x")
		if err := <-ended; err != nil {
			t.Error(err)
		}
		go func() {
			_, err := c.Receive(context.Background())
			ended <- err
		}()
		synctest.Wait()
		stop()
		if err := <-ended; !errors.Is(err, ErrStopped) {
			t.Errorf("when the host stopped: %v", err)
		}
	})
}

// What a peer sent before it hung up, and before the host stopped, is still received.
func TestMessagesOutliveTheirLinkAndTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		stop := run(t, h)
		l, s := upLink(t, h, 1)
		deliver(t, l, "a", "b")
		s.hangUp(errors.New("gone"))
		synctest.Wait()
		again, _ := upLink(t, h, 1)
		deliver(t, again, "c")
		stop()
		for _, want := range []string{"a", "b", "c"} {
			if e, err := channels[0].Receive(t.Context()); err != nil || string(e.Message) != want || e.From != l.peer {
				t.Errorf("received %q, %v; want %q", e.Message, err, want)
			}
		}
		if _, err := channels[0].Receive(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("after the last: %v", err)
		}
		if len(h.memory.boxes) != 0 || h.memory.used.Load() != 0 {
			t.Errorf("%d mailboxes and %d bytes are left", len(h.memory.boxes), h.memory.used.Load())
		}
	})
}

// No receiver sleeps while messages wait, however many there are of both.
func TestEveryReceiverIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		stop := run(t, h)
		l, _ := upLink(t, h, 1)
		for _, n := range []int{1, 2, 7} {
			got := make(chan string, n)
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					e, err := channels[0].Receive(t.Context())
					if err != nil {
						t.Error(err)
					}
					got <- string(e.Message)
				})
			}
			synctest.Wait()
			var batch []muxer.Message
			for i := range n {
				batch = append(batch, muxer.Message{Channel: 1, Data: []byte{byte(i)}})
			}
			if err := l.Deliver(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(got) != n {
				t.Fatalf("%d of %d receivers have woken", len(got), n)
			}
			wg.Wait()
		}
		stop()
	})
}

// Peers have turns: one with a thousand messages does not hold up one with a single one.
func TestReceiveIsFairOverPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		defer run(t, h)()
		loud, _ := upLink(t, h, 1)
		for range 1000 {
			deliver(t, loud, "noise")
		}
		for n := 2; n < 5; n++ {
			l, _ := upLink(t, h, n)
			deliver(t, l, "a", "b")
		}
		for turn := range 8 {
			e, err := channels[0].Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := peerID(1 + turn%4); e.From != want {
				t.Errorf("turn %d is of %.8s, want %.8s", turn, e.From, want)
			}
		}
	})
}

func TestServeEndsWithItsHandlerOrAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1, ReceiveQueue: 1000}, muxer.Channel{ID: 2})
		defer run(t, h)()
		c := channels[0]
		l, _ := upLink(t, h, 1)
		deliver(t, l, "one", "two")
		enough := errors.New("enough")
		if err := c.Serve(t.Context(), func(_ context.Context, e Envelope) error { return enough }); err != enough {
			t.Errorf("Serve returned %v", err)
		}
		for range 10 { // beyond the budget
			deliver(t, l, strings.Repeat("x", 500))
		}
		if l.box.excess.Load() == 0 {
			t.Error("nothing is beyond the budget: the test tests nothing")
		}
		gone, s := upLink(t, h, 2)
		deliver(t, gone, "of one that has gone")
		s.hangUp(errors.New("gone"))
		synctest.Wait()
		err := c.Serve(t.Context(), func(_ context.Context, e Envelope) error { panic("boom") })
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("Serve returned %v", err)
		}
		if l.box.excess.Load() != 0 || h.memory.used.Load() != 0 || len(h.memory.boxes) != 1 {
			t.Errorf("a channel that is down holds: excess %d, memory %d, %d mailboxes", l.box.excess.Load(),
				h.memory.used.Load(), len(h.memory.boxes))
		}
		before := c.dropped.Load()
		deliver(t, l, "late")
		if n := c.dropped.Load() - before; n != 1 || h.memory.used.Load() != 0 {
			t.Errorf("%d messages were dropped, %d bytes held", n, h.memory.used.Load())
		}
		if err := l.Deliver(t.Context(), []muxer.Message{{Channel: 2, Data: []byte("hello")}}); err != nil {
			t.Fatal(err)
		}
		if e, err := channels[1].Receive(t.Context()); err != nil || string(e.Message) != "hello" {
			t.Errorf("the other channel: %q, %v", e.Message, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := channels[1].Serve(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve without time: %v", err)
		}
	})
}

// A paused link goes on as soon as there is room. Its own channel can make that, another channel of the link, another
// peer's, or the end of a service.
func TestAPausedLinkGoesOnWhenThereIsRoom(t *testing.T) {
	type put struct{ peer, channel, size int }
	own := []put{{1, 1, 200}}
	another := []put{{1, 2, 1}, {1, 2, 900}, {1, 1, 200}}
	for _, c := range []struct {
		name             string
		overflow, memory int64
		before           []put // what waits when one more message comes, of 900 bytes, of peer 1 on channel 1
		room             func([]*Channel)
	}{
		{"in its own inbox", 1, 0, own, func(c []*Channel) { c[0].next(false) }},
		{"in another inbox of its", 1000, 0, another, func(c []*Channel) { c[1].next(false) }},
		{"in memory, of another peer", 1 << 20, 3000, []put{{2, 3, 1000}, {2, 3, 900}, {1, 1, 200}},
			func(c []*Channel) {
				c[2].next(false)
			}},
		{"by the end of its service", 1, 0, own, func(c []*Channel) { c[0].takeDown() }},
		{"by the end of another service", 1000, 0, another, func(c []*Channel) { c[1].takeDown() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.Limits.PeerOverflow, cfg.Limits.MessageMemory = c.overflow, c.memory
				h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: 300},
					muxer.Channel{ID: 2, ReceiveQueue: 300}, muxer.Channel{ID: 3})
				defer run(t, h)()
				links := map[int]*link{}
				for n := 1; n <= 2; n++ {
					links[n], _ = upLink(t, h, n)
				}
				deliver := func(p put) error {
					return links[p.peer].Deliver(t.Context(),
						[]muxer.Message{{Channel: byte(p.channel), Data: make([]byte, p.size)}})
				}
				for _, p := range c.before {
					if err := deliver(p); err != nil {
						t.Fatal(err)
					}
				}
				done := make(chan error, 1)
				go func() { done <- deliver(put{1, 1, 900}) }()
				synctest.Wait()
				if len(done) > 0 || h.memory.waits.Load() == 0 {
					t.Fatal("the link is not paused: the test tests nothing")
				}
				c.room(channels)
				synctest.Wait()
				if len(done) == 0 {
					t.Fatal("the link is still paused")
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A link that ends while it is paused does not stay.
func TestAPausedLinkCanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Limits.PeerOverflow = 1
		h, channels := newTestHost(t, cfg, muxer.Channel{ID: 1, ReceiveQueue: 300})
		defer run(t, h)()
		l, _ := upLink(t, h, 1)
		deliver(t, l, strings.Repeat("x", 300))
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Deliver(ctx, []muxer.Message{{Channel: 1, Data: make([]byte, 300)}}) }()
		synctest.Wait()
		why := errors.New("over")
		cancel(why)
		if err := <-done; err != why {
			t.Errorf("Deliver returned %v", err)
		}
		if h.memory.waits.Load() != 0 {
			t.Error("the link still counts as paused")
		}
		if err := l.Deliver(t.Context(), []muxer.Message{{Channel: 9}}); asReason(err).Code != muxer.CodeWrongChannel {
			t.Errorf("a message of a channel that we do not have: %v", err)
		}
		if e, _, ok := channels[0].next(false); !ok || len(e.Message) != 300 {
			t.Error("the message that had arrived is lost")
		}
	})
}
