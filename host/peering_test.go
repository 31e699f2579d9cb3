package host

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// introductions are the calls of a hook, which return when the test says so.
type introductions struct {
	calls  chan *Peering
	finish chan struct{}
}

// inHookTest is inLinkTest for a host with a hook.
func inHookTest(t *testing.T, fn func(t *testing.T, h *linkTest, c *Channel, hook introductions)) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		hook := introductions{make(chan *Peering, 10), make(chan struct{}, 10)}
		err := h.OnPeer(func(p *Peering) {
			hook.calls <- p
			<-hook.finish
		})
		if err != nil {
			t.Fatal(err)
		}
		lt := &linkTest{Host: h, t: t, sub: h.Subscribe(t.Context()), events: h.Events(t.Context()), stop: run(t, h)}
		if err := h.OnPeer(func(*Peering) {}); !errors.Is(err, ErrStarted) {
			t.Errorf("OnPeer of a host that runs: %v", err)
		}
		fn(t, lt, channels[0], hook)
		close(hook.finish)
		lt.stop()
		if n := len(h.links.introduced); n != 0 {
			t.Errorf("%d peers are still being introduced", n)
		}
	})
}

// got is what has been received of a channel, as "number message".
func got(c *Channel) (all []string) {
	synctest.Wait()
	for {
		e, _, ok := c.next(false)
		if !ok {
			return all
		}
		all = append(all, fmt.Sprintf("%d %s", e.Peering, e.Message))
	}
}

// fakeUp is a link that comes up over a fakeSession, and messages that arrive on it at once.
func fakeUp(t *testing.T, h *linkTest, n int, msgs ...string) (*link, *fakeSession) {
	l, s := testLink(h.Host, n, muxer.Listener, true)
	handOn(h.Host, l)
	synctest.Wait()
	if len(msgs) > 0 {
		bring(t, l, msgs...)
	}
	return l, s
}

// bring delivers messages over a link, on a goroutine of its own.
func bring(t *testing.T, l *link, msgs ...string) {
	go func() {
		for _, m := range msgs {
			err := l.Deliver(l.ctx, []muxer.Message{{Channel: 1, Data: []byte(m)}})
			if err != nil && l.ctx.Err() == nil {
				t.Error(err)
			}
		}
	}()
}

// A peer's messages wait for the hook; those of other peers do not.
func TestHooksRunBeforeTheFirstMessage(t *testing.T) {
	inHookTest(t, func(t *testing.T, h *linkTest, c *Channel, hook introductions) {
		_, one := fakeUp(t, h, 1, "a", "b")
		p := <-hook.calls
		if info := p.Info(); p.ID() != peerID(1) || info.ID != p.ID() || info.Peering != p.Number() ||
			info.Connected.IsZero() {
			t.Errorf("the hook was called for %s, number %d: %+v", p.ID(), p.Number(), info)
		}
		if err := p.Send(t.Context(), c, []byte("hello")); err != nil || len(one.sent[1]) != 1 {
			t.Errorf("a hook cannot send: %v", err)
		}
		time.Sleep(time.Hour)
		if msgs := got(c); msgs != nil {
			t.Errorf("before the hook has returned: %q", msgs)
		}
		fakeUp(t, h, 2, "c")
		q := <-hook.calls
		if q.Number() <= p.Number() || q.ID() != peerID(2) {
			t.Errorf("peering %d of %s after %d", q.Number(), q.ID(), p.Number())
		}
		hook.finish <- struct{}{} // either one returns
		hook.finish <- struct{}{}
		if msgs := got(c); len(msgs) != 3 {
			t.Errorf("behind the hooks: %q", msgs)
		}
	})
}

// A peering that ends is over for those who hold it, whatever its peer does later, and its messages keep its number.
func TestAPeeringEnds(t *testing.T) {
	inHookTest(t, func(t *testing.T, h *linkTest, c *Channel, hook introductions) {
		_, s := fakeUp(t, h, 1, "old")
		first := <-hook.calls
		hook.finish <- struct{}{}
		synctest.Wait()
		if first.Reason() != nil {
			t.Errorf("it went down: %v", first.Reason())
		}
		s.hangUp(io.EOF)
		<-first.Done()
		if first.Reason().Code != muxer.CodeRemoteClosed {
			t.Errorf("it went down: %v", first.Reason())
		}
		_, s = fakeUp(t, h, 1, "new")
		second := <-hook.calls
		if msgs := got(c); len(msgs) != 1 || msgs[0] != fmt.Sprintf("%d old", first.Number()) {
			t.Errorf("received %q", msgs)
		}
		hook.finish <- struct{}{}
		if msgs := got(c); len(msgs) != 1 || msgs[0] != fmt.Sprintf("%d new", second.Number()) {
			t.Errorf("received %q", msgs)
		}
		if err := first.Send(t.Context(), c, nil); err != ErrNotConnected || first.TrySend(c, nil) {
			t.Errorf("sent over a peering that is down: %v", err)
		}
		first.Disconnect(muxer.CodeRequested, "")
		synctest.Wait()
		if _, _, closed := s.closed(); closed || second.Reason() != nil {
			t.Error("to end the old peering ends the new one")
		}
		if !second.TrySend(c, nil) || first.Info().ID != second.Info().ID {
			t.Error("the second peering does not work")
		}
		second.Disconnect(muxer.CodeMisbehaved, "a lie")
		<-second.Done()
		if why := second.Reason(); why.Code != muxer.CodeMisbehaved || why.Reason != "a lie" || why.Remote {
			t.Errorf("it went down: %v", why)
		}
	})
}

// While a hook is busy with a peering, a later one of the same peer waits for its turn, and of several only the last
// one is introduced: the others are over.
func TestHooksOfOnePeerWaitForEachOther(t *testing.T) {
	inHookTest(t, func(t *testing.T, h *linkTest, c *Channel, hook introductions) {
		_, s := fakeUp(t, h, 1)
		first := <-hook.calls
		for range 3 {
			s.hangUp(io.EOF)
			synctest.Wait()
			_, s = fakeUp(t, h, 1, "x")
		}
		synctest.Wait()
		if len(hook.calls) != 0 {
			t.Fatal("two hooks run for one peer")
		}
		hook.finish <- struct{}{}
		last := <-hook.calls
		if last.Number() != first.Number()+3 || got(c) != nil {
			t.Errorf("peering %d comes after %d, or a message before it", last.Number(), first.Number())
		}
		hook.finish <- struct{}{}
		if msgs := got(c); len(msgs) != 1 || msgs[0] != fmt.Sprintf("%d x", last.Number()) {
			t.Errorf("received %q", msgs)
		}
	})
}

// A link that has given way to a new one of its peer brings no messages any more: they would come behind newer ones.
func TestAReplacedLinkBringsNothing(t *testing.T) {
	inHookTest(t, func(t *testing.T, h *linkTest, c *Channel, hook introductions) {
		old, _ := testLink(h.Host, 1, muxer.Listener, false)
		handOn(h.Host, old)
		<-hook.calls
		hook.finish <- struct{}{}
		time.Sleep(redialAfter + 1)
		l, _ := testLink(h.Host, 1, muxer.Listener, false)
		handOn(h.Host, l)
		second := <-hook.calls
		hook.finish <- struct{}{}
		synctest.Wait()
		if second != l.peering.Load() || old.peering.Load().Reason() == nil {
			t.Fatal("the new link has not taken over")
		}
		deliver(t, l, "new")
		deliver(t, old, "old")
		if msgs := got(c); len(msgs) != 1 || msgs[0] != fmt.Sprintf("%d new", second.Number()) {
			t.Errorf("received %q", msgs)
		}
	})
}

// What comes over the second link of a guest belongs to the peering of the first, until that ends.
func TestAGuestsSecondLinkSharesItsPeering(t *testing.T) {
	inHookTest(t, func(t *testing.T, h *linkTest, c *Channel, hook introductions) {
		first, one := testLink(h.Host, 1, muxer.Listener, false)
		first.shake.Remote.Guest = true
		handOn(h.Host, first)
		p := <-hook.calls
		second, _ := testLink(h.Host, 1, muxer.Listener, false)
		second.shake.Remote.Guest = true
		handOn(h.Host, second)
		synctest.Wait()
		bring(t, second, "a")
		if msgs := got(c); msgs != nil {
			t.Errorf("before the hook has returned: %q", msgs)
		}
		hook.finish <- struct{}{}
		if msgs := got(c); len(msgs) != 1 || msgs[0] != fmt.Sprintf("%d a", p.Number()) {
			t.Errorf("received %q", msgs)
		}
		one.hangUp(io.EOF)
		q := <-hook.calls
		bring(t, second, "b")
		if msgs := got(c); msgs != nil || q == p {
			t.Errorf("before the hook has returned: %q", msgs)
		}
		hook.finish <- struct{}{}
		if msgs := got(c); len(msgs) != 1 || msgs[0] != fmt.Sprintf("%d b", q.Number()) {
			t.Errorf("received %q", msgs)
		}
	})
}

// A hook that panics harms nobody.
func TestAHookThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		called := 0
		_ = h.OnPeer(func(*Peering) { panic("boom") })
		_ = h.OnPeer(func(*Peering) { called++ })
		defer run(t, h)()
		l, _ := testLink(h, 1, muxer.Listener, true)
		handOn(h, l)
		synctest.Wait()
		deliver(t, l, "x")
		if msgs := got(channels[0]); called != 1 || len(msgs) != 1 {
			t.Errorf("the other hook was called %d times; received %q", called, msgs)
		}
	})
}
