package host

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// A guest's second link stays while it carries something, and ends when it does not.
func TestAGuestsSpareLinkEnds(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		guest := func() (*link, *fakeSession) {
			l, s := testLink(h.Host, 1, muxer.Listener, false)
			l.shake.Remote.Guest = true
			handOn(h.Host, l)
			return l, s
		}
		first, _ := guest()
		h.hears("up " + short(1))
		second, s := guest()
		service := &streamService{protocol: "/x"}
		if limit := second.streams.take(service, &h.cfg.Limits); limit != "" {
			t.Fatal(limit)
		}
		time.Sleep(time.Hour)
		if _, _, closed := s.closed(); closed {
			t.Fatal("a link with a stream was ended")
		}
		second.streams.give(service)
		time.Sleep(3 * pulse)
		if code, _, closed := s.closed(); !closed || code != muxer.CodeDuplicate {
			t.Errorf("a link without streams: ended %v, %v", closed, code)
		}
		h.hears()
		if h.links.of(first.peer) != first {
			t.Error("the first link is not in use")
		}
	})
}
