package quic

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// open opens a lane of c.
func openLane(t *testing.T, c *Conn) (*stream, <-chan struct{}) {
	t.Helper()
	st, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	room := make(chan struct{}, 1)
	st.NotifyWritable(func() {
		select {
		case room <- struct{}{}:
		default:
		}
	})
	return st.(*stream), room
}

// What is written without waiting arrives in order, short pieces and long ones, and is never more than is writable.
func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := simulated(t, Config{})
		defer a.Close()
		defer b.Close()
		out, room := openLane(t, a)
		var sent []byte
		sizes := []int{1, 100, directSize, directSize + 1, 10, 64 << 10, 3, 100_000, 7}
		got := make(chan []byte, 1)
		go func() {
			in, err := b.Accept(t.Context())
			if err != nil {
				t.Error(err)
			}
			p, err := io.ReadAll(in)
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		for i := range 50 {
			p := bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])
			sent = append(sent, p...)
			for len(p) > 0 {
				n := min(out.Writable(), len(p))
				if n == 0 {
					<-room
					continue
				}
				if _, err := out.Write(p[:n]); err != nil {
					t.Fatal(err)
				}
				p = p[n:]
			}
		}
		if err := out.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if p := <-got; !bytes.Equal(p, sent) {
			t.Errorf("%d bytes came of %d", len(p), len(sent))
		}
		if n := a.backlog.Load(); n != 0 {
			t.Errorf("%d bytes are in the backlog", n)
		}
		if _, err := out.Write([]byte{1}); err == nil {
			t.Error("written behind the end")
		}
	})
}

// Lanes that the remote does not read hold up no other, however many they are.
func TestStalledLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{StreamWindow: 4 << 10, MaxStreamWindow: 4 << 10, MaxWindow: 1 << 20}
		a, b := simulated(t, cfg)
		defer a.Close()
		defer b.Close()
		var stalled *stream
		var unread muxer.RawStream
		for range 3 {
			out, _ := openLane(t, a)
			for range 10 {
				if n := out.Writable(); n > 0 {
					if _, err := out.Write(make([]byte, n)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second) // virtual
			}
			if n := out.Writable(); n != 0 {
				t.Errorf("%d bytes are writable on a lane that nobody reads", n)
			}
			in, err := b.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stalled, unread = out, in
		}
		if n := a.backlog.Load(); n != 0 {
			t.Errorf("%d bytes of stalled lanes are in the backlog", n)
		}
		out, room := openLane(t, a)
		const total = 1 << 20
		go func() {
			for left := total; left > 0; {
				n := min(out.Writable(), left)
				if n == 0 {
					<-room
					continue
				}
				if _, err := out.Write(make([]byte, n)); err != nil {
					t.Error(err)
					return
				}
				left -= n
			}
		}()
		in, err := b.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(in, make([]byte, total)); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(unread, make([]byte, laneSize)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // virtual
		if stalled.Writable() == 0 {
			t.Error("nothing is writable on a lane that is read again")
		}
	})
}

// The writer of a lane learns of its end, by either end or with the connection.
func TestLaneEnds(t *testing.T) {
	for name, end := range map[string]func(out muxer.RawStream, in muxer.RawStream, b *Conn){
		"reset here":  func(out, _ muxer.RawStream, _ *Conn) { _ = out.Reset(muxer.CodeUnknown) },
		"reset there": func(_, in muxer.RawStream, _ *Conn) { _ = in.Reset(muxer.CodeUnknown) },
		"connection":  func(_, _ muxer.RawStream, b *Conn) { b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := simulated(t, Config{StreamWindow: 4 << 10, MaxStreamWindow: 4 << 10})
				defer a.Close()
				defer b.Close()
				out, room := openLane(t, a)
				if _, err := out.Write(make([]byte, laneSize)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // virtual
				in, err := b.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for len(room) > 0 {
					<-room
				}
				end(out, in, b)
				<-room
				for out.Writable() == 0 {
					<-room
				}
				if _, err := out.Write(make([]byte, 1)); err == nil {
					t.Error("no error")
				}
				if n := a.backlog.Load(); n != 0 {
					t.Errorf("%d bytes are in the backlog", n)
				}
			})
		})
	}
}
