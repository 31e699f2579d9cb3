package yamux

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// FuzzFrames gives a session whatever a remote may send, cut into any pieces; behind a stream of channel one that is in
// use, if piece is negative. It ends when the remote hangs up, at the latest, delivers no message that is longer than
// its channel takes, and counts no memory as held then.
func FuzzFrames(f *testing.F) {
	f.Add(append(open(1, 3, 'a', 'b', 'c'), frame(typeGoAway, 0, 0, 0)...), 7)
	f.Add(append(open(1), frame(typeWindow, flagFIN, 1, 0)...), 1)
	f.Add(append(open(1, 5, 1), frame(typeWindow, flagRST, 1, 0)...), 100)
	f.Add(append(frame(typeWindow, flagSYN, 1, 0xffffffff), frame(typeWindow, 0, 1, 0xffffffff)...), 12)
	f.Add(append(frame(typeData, flagSYN, 1, 4, 'x'), frame(typeData, flagSYN, 3, 0)...), 5)
	f.Add([]byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, 3) // a ping
	f.Add(append(data(2, 'a', 'b', 1), append(data('c'), data(0, 3, 'd')...)...), -100)
	for _, length := range []uint32{1 << 31, 1<<31 - 1, 1<<32 - 1} {
		for kind := byte(0); kind < 5; kind++ {
			f.Add(append(open(1), frame(kind, 0, 1, length, 'x')...), 9)
			f.Add(append(open(1), frame(kind, 0, 7, length, 'x')...), 9) // a stream that is over
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte, piece int) {
		if len(sent) > 1<<16 {
			return
		}
		synctest.Test(t, func(t *testing.T) { // its last words may take a second
			a, b := muxertest.Pipe(1 << 20) // all answers fit: nobody reads them
			m, err := New(Config{MaxStreams: 10})
			if err != nil {
				t.Fatal(err)
			}
			streams, err := m.New(a, muxer.Listener)
			if err != nil {
				t.Fatal(err)
			}
			s := lanes.New(streams, lanes.Config{})
			const most = 1000
			if err := s.SetChannels([]muxer.Channel{{ID: 1, Name: "/one", MaxMessage: most}}); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if piece < 0 {
					_, _ = b.Write(open(1, 1, 'x'))
					time.Sleep(time.Millisecond)
				}
				piece := max(piece, -piece, 1)
				for p := sent; len(p) > 0; p = p[min(piece, len(p)):] {
					if _, err := b.Write(p[:min(piece, len(p))]); err != nil {
						break
					}
				}
				_ = b.Close()
			})
			defer wg.Wait()
			var inbox muxertest.Inbox
			if err := s.Run(context.Background(), &inbox); err == nil {
				t.Error("the session ended without a reason")
			}
			for _, got := range inbox.Await(0) {
				if got.Channel != 1 || len(got.Data) > most {
					t.Errorf("a message of %d bytes on channel %d", len(got.Data), got.Channel)
				}
			}
			if n := m.memory.Load(); n != 0 {
				t.Errorf("%d bytes are held", n)
			}
		})
	})
}

// data returns a frame of stream 1.
func data(body ...byte) []byte { return frame(typeData, 0, 1, uint32(len(body)), body...) }
