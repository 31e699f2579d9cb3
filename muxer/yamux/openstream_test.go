package yamux

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goyamux "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// The proposal of a protocol goes out with the first bytes, but the end of our side waits for the answer: js-libp2p
// loses the bytes between a proposal and an end that comes with it.
func TestEndWaitsForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		streams, err := m.New(a, muxer.Dialer)
		if err != nil {
			t.Fatal(err)
		}
		s := lanes.New(streams, lanes.Config{})
		if err := s.SetChannels(channelOne); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(t.Context(), new(muxertest.Inbox)) })
		remote, err := goyamux.Server(b, nil, nil)
		if err != nil {
			t.Fatal(err)
		}

		st, err := s.OpenStream(context.Background(), "/x")
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		wg.Go(func() {
			_, err := st.Write([]byte("abc"))
			closed <- errors.Join(err, st.CloseWrite())
		})
		in, err := remote.AcceptStream()
		if err != nil {
			t.Fatal(err)
		}
		want := string(multistream.Propose("/x")) + "abc"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
		in.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := in.Read(got); !errors.Is(err, goyamux.ErrTimeout) {
			t.Fatalf("before the answer: %d bytes, %v", n, err)
		}
		in.SetReadDeadline(time.Time{})
		if _, err := in.Write(multistream.Propose("/x")); err != nil { // the answer has the form of a proposal
			t.Fatal(err)
		}
		if n, err := in.Read(got); err != io.EOF {
			t.Fatalf("after the answer: %d bytes, %v", n, err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		s.Close(muxer.CodeShuttingDown, "")
		wg.Wait()
		remote.Close()
	})
}
