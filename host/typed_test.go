package host

import (
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-p2p/switchyard/muxer"
)

func TestTypedEncodesAndDecodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, channels := newTestHost(t, testConfig(), muxer.Channel{ID: 1})
		defer run(t, h)()
		texts := NewTyped[wrapperspb.StringValue](channels[0])
		l, s := upLink(t, h, 1)
		if err := texts.Send(t.Context(), l.peer, wrapperspb.String("a")); err != nil {
			t.Error(err)
		}
		if !texts.TrySend(l.peer, wrapperspb.String("b")) || texts.Broadcast(wrapperspb.String("c")) != 1 {
			t.Error("not sent")
		}
		bad := &wrapperspb.StringValue{Value: "\xff"} // not UTF-8: it cannot be encoded
		if err := texts.Send(t.Context(), l.peer, bad); err == nil {
			t.Error("a message that cannot be encoded was sent")
		}
		if texts.TrySend(l.peer, bad) || texts.Broadcast(bad) != 0 {
			t.Error("a message that cannot be encoded was sent")
		}
		if len(s.sent[1]) != 3 {
			t.Fatalf("%d messages were sent", len(s.sent[1]))
		}

		before := scoreOf(h, l.peer)
		deliver(t, l, string(s.sent[1][0]), "\x0a\xff", string(s.sent[1][2]))
		for _, want := range []string{"a", "c"} {
			if from, m, err := texts.Receive(t.Context()); err != nil || m.GetValue() != want || from != l.peer {
				t.Errorf("received %v, %v; want %q", m, err, want)
			}
		}
		if after := scoreOf(h, l.peer); after >= before {
			t.Errorf("a message that does not decode has taken the score from %d to %d", before, after)
		}
		if h.links.of(l.peer) == nil {
			t.Error("a message that does not decode has ended the link")
		}
	})
}
