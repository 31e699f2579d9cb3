package muxertest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/muxer"
)

func (s Suite) testRoundTrip(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 5, MaxMessage: 4 << 20}), func(t *testing.T, a, b *end) {
		for _, n := range []int{0, 1, 2, 100, 127, 128, 1022, 1023, 1024, 1025, 2047, 2048, 2049, 65535, 65536, 65537,
			1 << 20, 4 << 20} {
			want := fill(n, 1)
			for _, d := range [][2]*end{{a, b}, {b, a}} {
				if err := d[0].Send(t.Context(), 5, want); err != nil {
					t.Fatal(err)
				}
				got := d[1].inbox.Await(1)
				if len(got) != 1 || got[0].Channel != 5 || !bytes.Equal(got[0].Data, want) {
					t.Fatalf("a message of %d bytes did not arrive as it was sent", n)
				}
			}
		}
	})
}

func (s Suite) testOrder(t *testing.T) {
	channels := []muxer.Channel{{ID: 0}, {ID: 1, Priority: 7}, {ID: 0x7f, Priority: 3}, {ID: 0x80},
		{ID: 0xff, Priority: 1000}}
	s.with(t, channels, func(t *testing.T, a, b *end) {
		const n = 500
		var wg sync.WaitGroup
		for _, c := range channels {
			wg.Go(func() {
				for i := range n {
					msg := make([]byte, 4+i*37%5000)
					binary.BigEndian.PutUint32(msg, uint32(i))
					if err := a.Send(t.Context(), c.ID, msg); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		next := map[byte]int{}
		for total := 0; total < n*len(channels); {
			for _, m := range b.inbox.Await(1) {
				i := int(binary.BigEndian.Uint32(m.Data))
				if i != next[m.Channel] || len(m.Data) != 4+i*37%5000 {
					t.Fatalf("channel %#x: message %d of %d bytes came where %d was due", m.Channel, i, len(m.Data),
						next[m.Channel])
				}
				next[m.Channel]++
				total++
			}
		}
		wg.Wait()
	})
}

func (s Suite) testManySenders(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, SendQueue: 4096}), func(t *testing.T, a, b *end) {
		const senders, each = 50, 100
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				for j := range each {
					msg := make([]byte, 300)
					msg[0], msg[1] = byte(i), byte(j)
					if err := a.Send(t.Context(), 1, msg); err != nil {
						t.Error(err)
					}
				}
			})
		}
		next := [senders]byte{}
		for total := 0; total < senders*each; {
			for _, m := range b.inbox.Await(1) {
				if m.Data[1] != next[m.Data[0]] {
					t.Fatalf("sender %d: message %d came where %d was due", m.Data[0], m.Data[1], next[m.Data[0]])
				}
				next[m.Data[0]]++
				total++
			}
		}
		wg.Wait()
	})
}

func (s Suite) testSharedBuffer(t *testing.T) {
	s.with(t, []muxer.Channel{{ID: 1}, {ID: 2}}, func(t *testing.T, a, b *end) {
		shared := fill(100_000, 3)
		before := slices.Clone(shared)
		for range 20 {
			for _, e := range []*end{a, b} {
				for ch := byte(1); ch <= 2; ch++ {
					if err := e.Send(t.Context(), ch, shared); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, e := range []*end{a, b} {
			for total := 0; total < 40; {
				for _, m := range e.inbox.Await(1) {
					if !bytes.Equal(m.Data, before) {
						t.Fatal("a shared message was changed on its way")
					}
					clear(m.Data) // it is ours: nobody else may notice
					total++
				}
			}
		}
		if !bytes.Equal(shared, before) {
			t.Fatal("the sender's buffer was changed")
		}
	})
}

func (s Suite) testSendBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := one(muxer.Channel{ID: 1})
		sa, sb := s.Factory(t, c, c)
		a, b := &end{Session: sa}, &end{Session: sb}
		if err := a.Send(t.Context(), 1, []byte("early")); err != nil {
			t.Fatal(err)
		}
		a.run(&a.inbox)
		b.run(&b.inbox)
		if got := b.inbox.Await(1); string(got[0].Data) != "early" {
			t.Errorf("got %q", got[0].Data)
		}
		for _, e := range []*end{a, b} {
			e.Close(muxer.CodeRequested, "")
			e.wait()
			e.cancel()
		}
	})
}

func (s Suite) testUnknownChannel(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1}), func(t *testing.T, a, b *end) {
		if err := a.Send(t.Context(), 2, nil); !errors.Is(err, muxer.ErrUnknownChannel) {
			t.Errorf("Send: %v", err)
		}
		if a.TrySend(2, nil) {
			t.Error("TrySend took it")
		}
		if err := a.Send(t.Context(), 1, nil); err != nil {
			t.Errorf("and the session suffered: %v", err)
		}
		b.inbox.Await(1)
	})
}

func (s Suite) testTooLargeToSend(t *testing.T) {
	s.with(t, one(muxer.Channel{ID: 1, MaxMessage: 1000}), func(t *testing.T, a, b *end) {
		if err := a.Send(t.Context(), 1, make([]byte, 1001)); !errors.Is(err, muxer.ErrMessageTooLarge) {
			t.Errorf("Send: %v", err)
		}
		if a.TrySend(1, make([]byte, 1001)) {
			t.Error("TrySend took it")
		}
		if err := a.Send(t.Context(), 1, make([]byte, 1000)); err != nil {
			t.Errorf("the longest message that is allowed: %v", err)
		}
		b.inbox.Await(1)
	})
}

func (s Suite) testTooLargeToReceive(t *testing.T) {
	for _, size := range []int{1001, 5000, 1 << 20} {
		s.withEach(t, one(muxer.Channel{ID: 1}), one(muxer.Channel{ID: 1, MaxMessage: 1000}),
			func(t *testing.T, a, b *end) {
				a.Send(t.Context(), 1, make([]byte, 1000))
				a.Send(t.Context(), 1, make([]byte, size))
				var ce *muxer.CloseError
				if err := b.wait(); !errors.As(err, &ce) || ce.Code != muxer.CodeMessageTooBig || ce.Remote {
					t.Errorf("Run: %v", err)
				}
				if n := b.inbox.Len(); n != 1 {
					t.Errorf("%d messages were delivered, want the one before", n)
				}
				a.wait()
			})
	}
}
