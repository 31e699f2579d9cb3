package yamux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// A short frame that go-yamux need not see is checked as its others are.
func TestPromptVersion(t *testing.T) {
	attack(t, channelOne, func(t *testing.T, v *victim) {
		v.raw.Write(open(1, 1, 'a'))
		v.inbox.Await(1)
		synctest.Wait()
		v.raw.Write(append([]byte{1}, data(1, 'b')[1:]...))
		<-v.ended
		var ce *muxer.CloseError
		if !errors.As(v.err, &ce) || ce.Code != muxer.CodeProtocolError {
			t.Errorf("%v", v.err)
		}
	})
}

// nowConn is a connection that can be written without waiting, as long as it is willing.
type nowConn struct {
	net.Conn
	willing atomic.Bool
	now     atomic.Int64 // how often it was
}

func newNowConn(c net.Conn) *nowConn {
	n := &nowConn{Conn: c}
	n.willing.Store(true)
	return n
}

func (c *nowConn) WriteNow(p []byte) bool {
	if !c.willing.Load() {
		return false
	}
	c.now.Add(1)
	_, err := c.Conn.Write(p)
	return err == nil
}

// The first message behind something of the remote is written by its sender, if the connection takes it at once; those behind it, and what it does not take, are
// the writer's; and order is kept.
func TestAnswerNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		c := newNowConn(a)
		var inboxes [2]muxertest.Inbox
		x, y := pair(t, c, b, Config{}, channelOne, channelOne)
		var wg sync.WaitGroup
		wg.Go(func() { x.Run(context.Background(), &inboxes[0]) })
		wg.Go(func() { y.Run(context.Background(), &inboxes[1]) })
		sent := 0
		send := func(s *muxer.Lanes, n int) {
			t.Helper()
			for range n {
				sent++
				if err := s.Send(context.Background(), 1, []byte{byte(sent), byte(sent >> 8)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		ask := func() {
			t.Helper()
			if err := y.Send(context.Background(), 1, []byte("?")); err != nil {
				t.Fatal(err)
			}
			inboxes[0].Await(1)
			synctest.Wait()
			c.now.Store(0) // with what agrees on the stream
		}
		expect := func(what string, now int64) {
			t.Helper()
			synctest.Wait()
			if n := c.now.Swap(0); n != now {
				t.Errorf("%s: %d messages were written by their sender, want %d", what, n, now)
			}
		}
		send(x, 1)
		expect("the stream is not open", 0)
		ask()
		send(x, 5)
		expect("five in a row", 1)
		ask()
		ask()
		send(x, 1)
		expect("an answer", 1)
		send(x, 1)
		expect("another one", 0)
		ask()
		c.willing.Store(false)
		send(x, 3)
		expect("a connection that is busy", 0)
		c.willing.Store(true)
		ask()
		if err := x.Send(context.Background(), 1, make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
		expect("a long one", 0)
		ask()
		if !x.TrySend(1, []byte("!")) {
			t.Error("TrySend")
		}
		expect("TrySend, of which there may be one for each of many peers", 0)
		got := inboxes[1].Await(sent + 2)
		for i, m := range got[:sent] {
			if want := []byte{byte(i + 1), byte((i + 1) >> 8)}; !bytes.Equal(m.Data, want) {
				t.Errorf("message %d is %x, want %x", i, m.Data, want)
			}
		}
		if n := x.Stats().SentMessages; n != uint64(sent+2) {
			t.Errorf("%d messages count as sent", n)
		}
		ask()
		send(x, 1)
		x.Close(muxer.CodeRequested, "") // behind it
		if m := inboxes[1].Await(1); len(m) != 1 || m[0].Data[0] != byte(sent) {
			t.Errorf("the last one: %v", m)
		}
		wg.Wait()
	})
}

// Messages that many goroutines send, while the remote does so too, arrive whole, once and in the order of each, whoever writes them.
func TestAnswersOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(8 << 10)
		ends := [2]*nowConn{{Conn: a}, {Conn: b}}
		x, y := pair(t, ends[0], ends[1], Config{}, channelOne, channelOne)
		sessions := [2]*muxer.Lanes{x, y}
		var inboxes [2]muxertest.Inbox
		var running, sending sync.WaitGroup
		const senders, each = 4, 200
		for i, s := range sessions {
			running.Go(func() { s.Run(context.Background(), &inboxes[i]) })
			for k := range senders {
				sending.Go(func() {
					for n := range each {
						ends[i].willing.Store(n%3 > 0)
						if err := s.Send(context.Background(), 1, []byte{byte(k), byte(n)}); err != nil {
							t.Error(err)
							return
						}
						if n%7 == 0 {
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
		}
		sending.Wait()
		for i := range inboxes {
			var next [senders]byte
			for _, m := range inboxes[i].Await(senders * each) {
				if k, n := m.Data[0], m.Data[1]; n != next[k] {
					t.Fatalf("message %d of sender %d, want %d", n, k, next[k])
				}
				next[m.Data[0]]++
			}
			if ends[i].now.Load() == 0 {
				t.Error("none was written by its sender")
			}
		}
		x.Close(muxer.CodeRequested, "")
		running.Wait()
		y.Close(muxer.CodeRequested, "")
	})
}
