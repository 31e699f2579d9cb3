package host

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// verdicts is the end of a handshake that the test speaks for: what we say, and what the remote says when the test lets
// it.
type verdicts struct {
	ours   chan *handshake.Refusal
	theirs chan error
}

func confirming(l *link) verdicts {
	v := verdicts{make(chan *handshake.Refusal, 1), make(chan error, 1)}
	l.shake.Confirm = func(ctx context.Context, r *handshake.Refusal) error {
		v.ours <- r
		if r != nil {
			return nil
		}
		select {
		case err := <-v.theirs:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return v
}

func TestBothEndsAgree(t *testing.T) {
	full := &handshake.Refusal{Code: muxer.CodeTooManyPeers, Remote: true, Limit: "peers.max_inbound",
		Reason: "no place"}
	t.Run("both take it", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := dialedLink(t, h.Host, 1, true)
			s.quiet = true
			v := confirming(l)
			done := make(chan error, 1)
			l.dialDone = done
			handOn(h.Host, l)
			h.hears()
			if r := <-v.ours; r != nil {
				t.Errorf("we said %v", r)
			}
			v.theirs <- nil
			h.hears("up " + short(1))
			h.tells("peer-up")
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("the remote refuses our dial", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := dialedLink(t, h.Host, 1, true)
			l.shake.Dialed = mustAddress(t, "/ip4/90.0.1.1/tcp/1/mconn/"+string(l.peer))
			h.peers.Add(l.shake.Dialed, peerstore.Source{Kind: "pex"})
			v := confirming(l)
			done := make(chan error, 1)
			l.dialDone = done
			v.theirs <- full
			handOn(h.Host, l)
			var d *DisconnectError
			if err := <-done; !errors.As(err, &d) || !d.Remote || d.Code != full.Code || d.Limit != full.Limit ||
				d.Reason != full.Reason {
				t.Errorf("the dial failed with %v", err)
			}
			h.hears()
			h.tells("dial-failed too-many-peers")
			if _, _, closed := s.closed(); !closed {
				t.Error("the session is still open")
			}
			if rec, _ := h.cfg.Store.Get(l.peer); rec.Failures != 0 || !rec.NotBefore.After(time.Now()) {
				t.Errorf("a peer without a place for us: %+v", rec)
			}
		})
	})
	t.Run("the remote refuses, having dialed", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, _ := testLink(h.Host, 1, muxer.Listener, true)
			confirming(l).theirs <- full
			handOn(h.Host, l)
			h.hears()
			h.tells("refused too-many-peers")
		})
	})
	t.Run("we refuse", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			one, _ := testLink(h.Host, 1, muxer.Listener, true)
			handOn(h.Host, one)
			h.hears("up " + short(1))
			h.tells("peer-up")
			two, s := testLink(h.Host, 1, muxer.Listener, true)
			v := confirming(two)
			handOn(h.Host, two)
			synctest.Wait()
			if r := <-v.ours; r == nil || r.Code != muxer.CodeDuplicate || r.Reason == "" {
				t.Errorf("we said %v", r)
			}
			h.tells("refused duplicate")
			if code, _, _ := s.closed(); code != muxer.CodeDuplicate {
				t.Errorf("closed with %v", code)
			}
		})
	})
	t.Run("the remote never says", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, _ := testLink(h.Host, 1, muxer.Listener, true)
			confirming(l)
			handOn(h.Host, l)
			h.tells()
			time.Sleep(handshake.DefaultTimeout)
			h.tells("refused timeout")
			if c := h.peers.Counts(); c.Inbound != 0 {
				t.Errorf("it still has a slot: %+v", c)
			}
		})
	})
	t.Run("its end is asked for meanwhile", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, true)
			v := confirming(l)
			handOn(h.Host, l)
			synctest.Wait()
			h.peers.Disconnect(l.peer, &DisconnectError{Code: muxer.CodeRequested, Reason: "an operator"})
			synctest.Wait()
			if code, _, _ := s.closed(); code != muxer.CodeRequested {
				t.Errorf("closed with %v", code)
			}
			v.theirs <- errors.New("the session ended") // as a wire says it
			h.hears()
			h.tells("refused requested")
		})
	})
	t.Run("the host stops meanwhile", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, _ := testLink(h.Host, 1, muxer.Listener, true)
			confirming(l)
			handOn(h.Host, l)
			synctest.Wait()
			began := time.Now()
			h.stop()
			if took := time.Since(began); took > time.Second {
				t.Errorf("stopping took %v", took)
			}
		})
	})
	t.Run("a standby that is confirmed on takes over", func(t *testing.T) {
		n := 1
		for peerID(n) > testKey(0).ID() { // the remote decides
			n++
		}
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			one, _ := testLink(h.Host, n, muxer.Listener, true)
			two, _ := dialedLink(t, h.Host, n, true)
			first, second := confirming(one), confirming(two)
			handOn(h.Host, one)
			synctest.Wait()
			handOn(h.Host, two)
			synctest.Wait()
			second.theirs <- nil
			h.hears()
			first.theirs <- &handshake.Refusal{Code: muxer.CodeDuplicate, Remote: true}
			h.hears("up " + short(n))
			if h.links.of(peerID(n)) != two {
				t.Error("services do not use the link that is left")
			}
			h.tellsInAnyOrder("refused duplicate", "peer-up")
		})
	})
}
