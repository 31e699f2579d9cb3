package yamux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// promptInbox counts the ways in which messages come.
type promptInbox struct {
	muxertest.Inbox
	now, later int
	full       bool
}

func (b *promptInbox) DeliverNow(msgs []muxer.Message) int {
	if b.full {
		return 0
	}
	n := b.Inbox.DeliverNow(msgs)
	b.now += n
	return n
}

func (b *promptInbox) Deliver(ctx context.Context, msgs []muxer.Message) error {
	b.later += len(msgs)
	return b.Inbox.Deliver(ctx, msgs)
}

// data is a frame of stream 1.
func data(body ...byte) []byte { return frame(typeData, 0, 1, uint32(len(body)), body...) }

// A short frame that arrives while nothing else is to be done is delivered by whoever has read it; what its handler does not take, long ones, and a stream whose window
// is to be made larger are Run's, and order is kept.
func TestPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		streams, err := m.New(a, muxer.Listener)
		if err != nil {
			t.Fatal(err)
		}
		s := muxer.NewLanes(streams, muxer.LanesConfig{})
		if err := s.SetChannels(channelOne); err != nil {
			t.Fatal(err)
		}
		inbox := &promptInbox{}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(context.Background(), inbox) }()
		sink := make([]byte, 4<<10)
		go func() {
			for {
				if _, err := b.Read(sink); err != nil {
					return
				}
			}
		}()
		expect := func(what string, send []byte, now, later int, want ...string) {
			t.Helper()
			inbox.now, inbox.later = 0, 0
			_, _ = b.Write(send)
			synctest.Wait()
			if inbox.now != now || inbox.later != later {
				t.Errorf("%s: %d messages came at once and %d by Run, want %d and %d", what, inbox.now, inbox.later, now, later)
			}
			got := inbox.Await(len(want))
			if len(got) != len(want) {
				t.Fatalf("%s: %d messages, want %d", what, len(got), len(want))
			}
			for i := range want {
				if string(got[i].Data) != want[i] {
					t.Errorf("%s: message %d is %.20q, want %.20q", what, i, got[i].Data, want[i])
				}
			}
		}
		expect("the first", open(1, 1, 'a'), 1, 0, "a") // by who has agreed on the stream's protocol
		expect("a short one", data(1, 'b'), 1, 0, "b")
		expect("in pieces", append(data(3, 'c'), data('d', 'e')...), 1, 0, "cde")
		expect("several", data(1, 'f', 1, 'g', 1, 'h'), 2, 1, "f", "g", "h")
		inbox.full = true
		expect("no room", data(1, 'i', 0), 0, 2, "i", "")
		inbox.full = false
		long := bytes.Repeat([]byte("x"), 3000)
		expect("a long one", data(append(binary.AppendUvarint(nil, 3000), long...)...), 0, 1, string(long))
		total := 0
		for half := 1000; total < initialWindow; total += half + 2 { // windows are filled up meanwhile
			piece := bytes.Repeat([]byte{byte(total)}, half)
			_, _ = b.Write(data(append(binary.AppendUvarint(nil, uint64(half)), piece...)...))
			synctest.Wait()
			if got := inbox.Await(1); len(got) != 1 || !bytes.Equal(got[0].Data, piece) {
				t.Fatalf("%d messages after %d bytes", len(got), total)
			}
		}
		if got := s.Stats().ReceivedMessages; got != uint64(9+(total+1001)/1002) {
			t.Errorf("%d messages count as received", got)
		}
		_, _ = b.Write(data(0xff, 0xff, 0xff, 0xff, 0xff, 1)) // a length of more than five bytes
		var ce *muxer.CloseError
		if err := <-ended; !errors.As(err, &ce) || ce.Code != muxer.CodeProtocolError {
			t.Errorf("a broken length: %v", err)
		}
		_ = b.Close()
	})
}
