package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// redialAfter is how old a link must be before another one that the same remote dials replaces it: see package peers.
const redialAfter = 5 * time.Second

// linkTest is a host that runs, with one channel, and what its watchers hear.
type linkTest struct {
	*Host
	t      *testing.T
	sub    *Subscription
	events <-chan Event
	stop   func()
}

func inLinkTest(t *testing.T, fn func(t *testing.T, h *linkTest)) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		lt := &linkTest{Host: h, t: t, sub: h.Subscribe(t.Context()), events: h.Events(context.Background()),
			stop: run(t, h)}
		fn(t, lt)
		lt.stop()
		if c := h.peers.Counts(); c != (peers.Counts{}) {
			t.Errorf("the peer manager counts %+v after the end", c)
		}
		if why := h.peers.Check(h.hasLink); why != "" {
			t.Error(why)
		}
		h.links.all.Range(func(k, _ any) bool { t.Errorf("link %v is still listed", k); return true })
		h.links.up.Range(func(k, _ any) bool { t.Errorf("peer %v is still up", k); return true })
	})
}

// hears checks what subscribers have heard since the last call, as text.
func (h *linkTest) hears(want ...string) {
	h.t.Helper()
	synctest.Wait()
	var got []string
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // Next returns what is there
	for {
		u, err := h.sub.Next(ctx)
		if err != nil {
			break
		}
		s := fmt.Sprintf("up %.8s", u.ID)
		if u.Status == PeerDown {
			s = fmt.Sprintf("down %.8s %v", u.ID, u.Reason.Code)
		}
		got = append(got, s)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("subscribers heard %q, want %q", got, want)
	}
}

// tells checks the events since the last call: their kinds and reasons.
func (h *linkTest) tells(want ...string) {
	h.t.Helper()
	if got := h.told(); !slices.Equal(got, want) {
		h.t.Errorf("events: %q, want %q", got, want)
	}
}

// tellsInAnyOrder is tells of links whose goroutines do not wait for each other.
func (h *linkTest) tellsInAnyOrder(want ...string) {
	h.t.Helper()
	got := h.told()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		h.t.Errorf("events: %q, want %q", got, want)
	}
}

func (h *linkTest) told() (got []string) {
	synctest.Wait()
	for len(h.events) > 0 {
		e := <-h.events
		s := string(e.Kind)
		if e.Reason != nil {
			s += " " + e.Reason.Code.String()
		}
		got = append(got, s)
	}
	return got
}

func short(n int) string { return string(peerID(n))[:8] }

func TestALinkIsUpOnceTheRemoteHasAcceptedIt(t *testing.T) {
	t.Run("by its accept", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, true)
			s.quiet = true
			handOn(h.Host, l)
			h.hears("up " + short(1))
			h.tells("peer-up")
		})
	})
	t.Run("by its first packet", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			s.quiet = true
			handOn(h.Host, l)
			h.hears()
			l.Established()
			l.Established()
			h.hears("up " + short(1))
			time.Sleep(time.Minute) // the grace has ended too
			h.hears()
			h.tells("peer-up")
		})
	})
	t.Run("by the end of the grace", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			s.quiet = true
			handOn(h.Host, l)
			time.Sleep(h.cfg.Limits.Grace - 1)
			h.hears()
			time.Sleep(time.Nanosecond)
			h.hears("up " + short(1))
			l.Established()
			h.hears()
		})
	})
	t.Run("which is longer on a slow path", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			s.quiet = true
			l.shake.Stages = []handshake.Stage{{Name: "transport", Took: time.Second},
				{Name: "security", Took: 3 * time.Second}}
			handOn(h.Host, l)
			time.Sleep(h.cfg.Limits.Grace + 4*time.Second - 1)
			h.hears()
			time.Sleep(time.Nanosecond)
			h.hears("up " + short(1))
		})
	})
	t.Run("never, when the remote refuses as late as its handshake may", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := dialedLink(t, h.Host, 1, false)
			s.quiet = true
			l.shake.Stages = []handshake.Stage{{Name: "security", Took: 200 * time.Millisecond}}
			handOn(h.Host, l)
			time.Sleep(handshake.DefaultTimeout + 100*time.Millisecond)
			s.hangUp(io.EOF)
			h.hears()
			h.tells("dial-failed remote-closed")
		})
	})
	t.Run("never, when it ends before", func(t *testing.T) {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			s.quiet = true
			handOn(h.Host, l)
			synctest.Wait()
			s.hangUp(io.EOF)
			h.hears()
			h.tells("refused remote-closed")
			time.Sleep(time.Minute)
			h.hears()
		})
	})
}

// A dialer who waits is told exactly once what came of it.
func TestADialerIsToldOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		up    bool
		end   func(l *link, s *fakeSession)
		after time.Duration
		code  muxer.Code
	}{
		{name: "up", up: true, end: func(*link, *fakeSession) {}},
		{name: "hung up before it was up", end: func(_ *link, s *fakeSession) { s.hangUp(io.EOF) },
			code: muxer.CodeRemoteClosed},
		{name: "ended by us before it was up", end: func(l *link, _ *fakeSession) {
			l.end(&DisconnectError{Code: muxer.CodeBanned})
		}, code: muxer.CodeBanned},
		{name: "hung up at the moment that the grace ends", end: func(_ *link, s *fakeSession) { s.hangUp(io.EOF) },
			after: handshake.DefaultTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 50 {
				inLinkTest(t, func(t *testing.T, h *linkTest) {
					l, s := dialedLink(t, h.Host, 1, false)
					s.quiet = !c.up
					told := make(chan error, 2)
					l.dialDone = told
					handOn(h.Host, l)
					if c.after > 0 {
						time.Sleep(c.after)
					} else {
						synctest.Wait()
					}
					c.end(l, s)
					synctest.Wait()
					time.Sleep(time.Minute)
					if len(told) != 1 {
						t.Fatalf("the dialer was told %d times", len(told))
					}
					err := <-told
					if c.after == 0 && (err == nil) != c.up || c.code != 0 && asReason(err).Code != c.code {
						t.Errorf("the dialer was told %v", err)
					}
				})
			}
		})
	}
}

func TestTheFirstReasonForAnEndCounts(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		l, s := testLink(h.Host, 1, muxer.Listener, true)
		handOn(h.Host, l)
		h.hears("up " + short(1))
		l.end(&DisconnectError{Code: muxer.CodeEvicted, Reason: "first"})
		l.end(&DisconnectError{Code: muxer.CodeBanned, Reason: "second"})
		h.hears("down " + short(1) + " evicted")
		if code, reason, _ := s.closed(); code != muxer.CodeEvicted || reason != "first" {
			t.Errorf("the session was closed with %v: %s", code, reason)
		}
		h.tells("peer-up", "peer-down evicted")
		h.Disconnect(peerID(1), muxer.CodeRequested, "nobody there") // does nothing
		h.hears()

		l, s = testLink(h.Host, 1, muxer.Listener, true)
		handOn(h.Host, l)
		h.hears("up " + short(1))
		h.Disconnect(peerID(1), muxer.CodeRequested, "an operator")
		h.hears("down " + short(1) + " requested")
		if code, reason, _ := s.closed(); code != muxer.CodeRequested || reason != "an operator" {
			t.Errorf("the session was closed with %v: %s", code, reason)
		}
	})
}

// While two links of a peer are open only one is used; which one, and that the other takes over when it ends,
// subscribers do not notice.
func TestAStandbyTakesOver(t *testing.T) {
	// Ours is the lower id of the two or the higher one: a link that the lower id dialed is preferred.
	lower, higher := 0, 0
	self := testKey(0).ID()
	for n := 1; lower == 0 || higher == 0; n++ {
		if peerID(n) < self {
			lower = n
		} else {
			higher = n
		}
	}
	for _, c := range []struct {
		name     string
		peer     int
		replaces bool // the second link, which the peer dialed, is preferred to the first, which we dialed
	}{{"the second waits", higher, false}, {"the second replaces the first", lower, true}} {
		t.Run(c.name, func(t *testing.T) {
			inLinkTest(t, func(t *testing.T, h *linkTest) {
				first, one := dialedLink(t, h.Host, c.peer, false)
				one.quiet = true
				handOn(h.Host, first)
				synctest.Wait()
				second, two := testLink(h.Host, c.peer, muxer.Listener, false)
				two.quiet = true
				handOn(h.Host, second)
				synctest.Wait()
				used, usedSession, other, otherSession := first, one, second, two
				if c.replaces {
					used, usedSession, other, otherSession = second, two, first, one
				}
				usedSession.hangUp(io.EOF) // the remote has declined it
				h.hears()
				select {
				case <-otherSession.started:
				default:
					t.Fatal("the other link does not run")
				}
				other.Established()
				h.hears("up " + short(c.peer))
				if h.links.of(peerID(c.peer)) != other || used == other {
					t.Error("services do not use the link that is left")
				}
				otherSession.hangUp(io.EOF)
				h.hears("down " + short(c.peer) + " remote-closed")
			})
		})
		t.Run(c.name+" and loses", func(t *testing.T) {
			inLinkTest(t, func(t *testing.T, h *linkTest) {
				first, one := dialedLink(t, h.Host, c.peer, false)
				one.quiet = true
				handOn(h.Host, first)
				synctest.Wait()
				second, two := testLink(h.Host, c.peer, muxer.Listener, false)
				two.quiet = true
				handOn(h.Host, second)
				synctest.Wait()
				used, loser := first, two
				if c.replaces {
					used, loser = second, one
				}
				used.Established()
				h.hears("up " + short(c.peer))
				if _, _, closed := loser.closed(); closed {
					t.Error("the other link was closed at once: a CometBFT node may forget this one over it")
				}
				time.Sleep(lingerTime)
				synctest.Wait()
				if code, _, _ := loser.closed(); code != muxer.CodeDuplicate {
					t.Errorf("the other link was closed with %v", code)
				}
				time.Sleep(time.Minute)
				h.hears()
				if h.links.of(peerID(c.peer)) != used {
					t.Error("services do not use the link that was settled")
				}
			})
		})
	}
}

// A guest keeps two connections and uses both: neither is a duplicate, and when the one that services use ends they go
// on with the other, as a new peering.
func TestAGuestKeepsItsSecondLink(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		first, one := testLink(h.Host, 1, muxer.Listener, false)
		first.shake.Remote.Guest = true
		handOn(h.Host, first)
		h.hears("up " + short(1))
		time.Sleep(time.Minute)
		second, two := testLink(h.Host, 1, muxer.Listener, false)
		second.shake.Remote.Guest = true
		handOn(h.Host, second)
		time.Sleep(pulse / 2)
		if _, _, closed := two.closed(); closed || h.links.of(peerID(1)) != first {
			t.Errorf("the second link is closed: %v, or services use it", closed)
		}
		one.hangUp(io.EOF)
		h.hears("down "+short(1)+" remote-closed", "up "+short(1)) // a new peering
		h.tellsInAnyOrder("peer-up", "peer-up", "peer-down remote-closed")
		if h.links.of(peerID(1)) != second {
			t.Error("services do not use the second link")
		}
		third, three := testLink(h.Host, 1, muxer.Listener, false)
		third.shake.Remote.Guest = true
		handOn(h.Host, third)
		synctest.Wait()
		three.hangUp(io.EOF)
		h.hears()
		h.tells() // nobody has heard of it
	})
}

// A dial whose link becomes the second one of a guest, because the guest has dialed at the same time, ends when the
// peer is linked: with the first link that services can use, whichever that is.
func TestDialOfAGuestThatDials(t *testing.T) {
	for _, oursPreferred := range []bool{false, true} {
		for _, late := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
			name := fmt.Sprintf("ours is preferred: %v, late: %v", oursPreferred, late)
			t.Run(name, func(t *testing.T) {
				inLinkTest(t, func(t *testing.T, h *linkTest) {
					n := 1 // the lower id's dial is the preferred one
					for (h.Self() < peerID(n)) != oursPreferred {
						n++
					}
					ours, one := dialedLink(t, h.Host, n, false)
					theirs, two := testLink(h.Host, n, muxer.Listener, false)
					one.quiet, two.quiet = late[0], late[1]
					ours.shake.Remote.Guest, theirs.shake.Remote.Guest = true, true
					addr, err := transport.NewAddress(ours.shake.RemoteAddr, string(ours.peer))
					if err != nil {
						t.Fatal(err)
					}
					told := make(chan error, 2)
					ours.dialDone = told
					ours.shake.Dialed = addr
					handOn(h.Host, ours)
					handOn(h.Host, theirs)
					time.Sleep(time.Minute)
					if len(told) != 1 {
						t.Fatalf("the dialer was told %d times", len(told))
					}
					if err := <-told; err != nil && asReason(err).Code != muxer.CodeDuplicate {
						t.Errorf("the dialer was told %v", err)
					}
					if h.links.of(ours.peer) == nil {
						t.Error("the peer is not linked")
					}
				})
			})
		}
	}
}

// A link that comes when the peer has a settled one is a duplicate: it is kept for a moment, and then closed. Of
// several only one is kept so.
func TestDuplicatesLinger(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		l, _ := testLink(h.Host, 1, muxer.Listener, false)
		handOn(h.Host, l)
		h.hears("up " + short(1))
		dup, s := testLink(h.Host, 1, muxer.Listener, false)
		handOn(h.Host, dup)
		more, other := testLink(h.Host, 1, muxer.Listener, false)
		synctest.Wait()
		handOn(h.Host, more)
		synctest.Wait()
		if _, _, closed := s.closed(); closed {
			t.Error("the duplicate was closed at once")
		}
		if code, _, _ := other.closed(); code != muxer.CodeDuplicate {
			t.Error("the second duplicate was kept too")
		}
		time.Sleep(lingerTime)
		synctest.Wait()
		if code, _, _ := s.closed(); code != muxer.CodeDuplicate {
			t.Errorf("the duplicate was closed with %v", code)
		}
		h.hears()
		h.tells("peer-up", "refused duplicate", "refused duplicate")

		last, s := testLink(h.Host, 1, muxer.Listener, false) // the host does not wait for it
		handOn(h.Host, last)
		synctest.Wait()
		began := time.Now()
		h.stop()
		if time.Since(began) > 0 {
			t.Errorf("a lingering duplicate held up the stop for %v", time.Since(began))
		}
		if _, _, closed := s.closed(); !closed {
			t.Error("it was not closed")
		}
	})
}

// A link that the remote dials while we have an older one takes its place once it is alive; until then services go on
// with the old one, and when it ends before, nobody notices.
func TestANewerLinkReplacesAnOldOneOnceItIsAlive(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		old, oldSession := testLink(h.Host, 1, muxer.Listener, false)
		handOn(h.Host, old)
		h.hears("up " + short(1))
		time.Sleep(redialAfter)
		if err := h.peers.CheckKey(peerID(1), old.ip, muxer.Listener); err == nil {
			t.Error("a link that is not old enough may be replaced")
		}
		time.Sleep(time.Nanosecond)
		if err := h.peers.CheckKey(peerID(1), old.ip, muxer.Listener); err != nil {
			t.Errorf("the peer may not dial again: %v", err)
		}
		if err := h.peers.CheckKey(peerID(1), old.ip, muxer.Dialer); err == nil {
			t.Error("we may dial a peer that is up")
		}
		for range 3 { // the new one ends before it is alive
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			s.quiet = true
			handOn(h.Host, l)
			synctest.Wait()
			if h.links.of(peerID(1)) != old {
				t.Error("services do not use the old link while the new one is unproven")
			}
			if c := h.peers.Counts(); c.Inbound != 1 {
				t.Errorf("the counts are %+v", c)
			}
			s.hangUp(io.EOF)
			h.hears()
			if h.links.of(peerID(1)) != old || h.peers.Counts().Inbound != 1 {
				t.Error("the old link is not what it was")
			}
		}
		l, s := testLink(h.Host, 1, muxer.Listener, false)
		s.quiet = true
		handOn(h.Host, l)
		synctest.Wait()
		l.Established()
		h.hears("down "+short(1)+" duplicate", "up "+short(1))
		if h.links.of(peerID(1)) != l {
			t.Error("services do not use the new link")
		}
		time.Sleep(lingerTime)
		synctest.Wait()
		if code, reason, _ := oldSession.closed(); code != muxer.CodeDuplicate || reason != "replaced by a newer link" {
			t.Errorf("the old link was closed with %v: %s", code, reason)
		}
		h.hears()
		h.tells("peer-up", "refused remote-closed", "refused remote-closed", "refused remote-closed", "peer-up",
			"peer-down duplicate")
	})
}

// The old link may end first, while the new one is unproven: then nothing can be sent until the new one is alive, which
// a round trip or the grace decides.
func TestTheOldLinkMayEndWhileItIsReplaced(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		old, oldSession := testLink(h.Host, 1, muxer.Listener, false)
		handOn(h.Host, old)
		time.Sleep(redialAfter + 1)
		h.hears("up " + short(1))
		l, s := testLink(h.Host, 1, muxer.Listener, false)
		s.quiet = true
		handOn(h.Host, l)
		synctest.Wait()
		oldSession.hangUp(io.EOF)
		h.hears("down " + short(1) + " remote-closed")
		if h.links.of(peerID(1)) != nil {
			t.Error("services still use the old link")
		}
		l.Established()
		h.hears("up " + short(1))
		s.hangUp(io.EOF)
		h.hears("down " + short(1) + " remote-closed")
	})
}

// Run waits for a grace that ends at the very moment of the stop, and a link that comes while the host stops ends too.
func TestStoppingWaitsForLinks(t *testing.T) {
	for range 50 {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			s.quiet = true
			handOn(h.Host, l)
			time.Sleep(h.cfg.Limits.Grace)
			h.stop()
			if code, _, _ := s.closed(); code != muxer.CodeShuttingDown {
				t.Errorf("the session was closed with %v", code)
			}
		})
	}
}

func TestReasonsKeepWhatIsKnown(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err    error
		code   muxer.Code
		remote bool
		limit  string
	}{
		{&DisconnectError{Code: muxer.CodeBanned, Limit: "x"}, muxer.CodeBanned, false, "x"},
		{fmt.Errorf("wrapped: %w",
			&handshake.Refusal{Code: muxer.CodeTooManyStarts, Remote: true, Limit: "limits.handshakes"}),
			muxer.CodeTooManyStarts, true, "limits.handshakes"},
		{handshake.Fail("security", muxer.CodeAuthFailed, cause), muxer.CodeAuthFailed, false, ""},
		{&muxer.CloseError{Code: muxer.CodeIdle, Err: cause}, muxer.CodeIdle, false, ""},
		{&muxer.CloseError{Code: muxer.CodeEvicted, Remote: true}, muxer.CodeEvicted, true, ""},
		{io.EOF, muxer.CodeRemoteClosed, true, ""},
		{context.DeadlineExceeded, muxer.CodeTimeout, false, ""},
		{context.Canceled, muxer.CodeRequested, false, ""},
		{cause, muxer.CodeTransport, false, ""},
		{nil, muxer.CodeUnknown, false, ""},
	} {
		d := asReason(c.err)
		if d.Code != c.code || d.Remote != c.remote || d.Limit != c.limit {
			t.Errorf("%v becomes %+v", c.err, d)
		}
		if errors.Is(c.err, cause) && !errors.Is(d, cause) {
			t.Errorf("%v has lost its cause: %v", c.err, d)
		}
	}
	d := &DisconnectError{Code: muxer.CodeTooManyPeers, Remote: true, Limit: "peers.max_inbound", Reason: "full",
		Err: cause}
	if got := d.Error(); got != "remote: too-many-peers: full (peers.max_inbound): cause" {
		t.Errorf("it reads %q", got)
	}
}

// The reason of an end goes to the remote whole where the wire can carry it, and what the remote tells is what watchers
// hear, whatever the close of the connection says.
func TestReasonsCrossWhole(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		ours, _ := testLink(h.Host, 1, muxer.Listener, true)
		var told []handshake.Refusal
		ours.shake.Goodbye = func(_ context.Context, r *handshake.Refusal) { told = append(told, *r) }
		ours.shake.Farewell = func() *handshake.Refusal { return nil }
		handOn(h.Host, ours)
		h.hears("up " + short(1))
		ours.end(&DisconnectError{Code: muxer.CodeTooManyPeers, Limit: "peers.max_inbound", Reason: "full"})
		ours.end(&DisconnectError{Code: muxer.CodeBanned, Reason: "late"})
		want := handshake.Refusal{Code: muxer.CodeTooManyPeers, Limit: "peers.max_inbound", Reason: "full"}
		if len(told) != 1 || told[0] != want {
			t.Errorf("the remote was told %+v", told)
		}
		h.hears("down " + short(1) + " too-many-peers")
		h.tells("peer-up", "peer-down too-many-peers")

		theirs, s := testLink(h.Host, 2, muxer.Listener, true)
		theirs.shake.Farewell = func() *handshake.Refusal {
			return &handshake.Refusal{Code: muxer.CodeOverflow, Remote: true, Limit: "limits.message_memory",
				Reason: "most"}
		}
		events := h.Events(t.Context())
		handOn(h.Host, theirs)
		synctest.Wait()
		s.hangUp(io.EOF)
		synctest.Wait()
		<-events
		if e := <-events; *e.Reason != (DisconnectError{Code: muxer.CodeOverflow, Remote: true,
			Limit: "limits.message_memory", Reason: "most"}) {
			t.Errorf("watchers heard %+v", e.Reason)
		}
	})
}
