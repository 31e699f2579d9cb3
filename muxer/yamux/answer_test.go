package yamux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// streamPair is a stream between two ends whose connections can be written without waiting.
func streamPair(t *testing.T, f func(t *testing.T, near, far muxer.RawStream, conn *nowConn)) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		conn := newNowConn(b)
		m, err := New(Config{MaxFrame: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		dialer, err := m.New(newNowConn(a), muxer.Dialer)
		if err != nil {
			t.Fatal(err)
		}
		defer dialer.Close()
		listener, err := m.New(conn, muxer.Listener)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		near, err := dialer.Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		f(t, near, far, conn)
	})
}

// ask lets the far end hear something, so that what it writes next is an answer.
func ask(t *testing.T, near, far muxer.RawStream) {
	t.Helper()
	if _, err := near.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// Whatever is written as an answer, or goes through go-yamux, arrives in order and once, and the remote's window is kept, however slowly that reads.
func TestAnswersKeepWindow(t *testing.T) {
	streamPair(t, func(t *testing.T, near, far muxer.RawStream, conn *nowConn) {
		random := rand.New(rand.NewPCG(1, 2))
		var want []byte
		got := make(chan []byte)
		begin := make(chan struct{})
		go func() {
			<-begin
			b, err := io.ReadAll(near)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		answers := int64(0)
		for i := range 3000 {
			if i%3 > 0 {
				ask(t, near, far)
			}
			if len(want) > initialWindow-4<<10 && begin != nil { // the window is full before anybody reads
				close(begin)
				begin = nil
			}
			conn.willing.Store(i%50 < 40)
			p := bytes.Repeat([]byte{byte(i)}, 1+random.IntN(1000))
			if i%100 == 99 {
				p = bytes.Repeat(p, 50)
			}
			before := conn.now.Load()
			if n, err := far.Write(p); n != len(p) || err != nil {
				t.Fatalf("write %d: %d of %d bytes, %v", i, n, len(p), err)
			}
			answers += conn.now.Load() - before
			want = append(want, p...)
		}
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
		if b := <-got; !bytes.Equal(b, want) {
			t.Errorf("%d bytes, or others, want %d", len(b), len(want))
		}
		if answers < 1000 {
			t.Errorf("%d answers", answers)
		}
	})
}

// What go-yamux is told in place of an answer never reaches the remote, also when the stream is closed, by both ends, while go-yamux still has it.
func TestConfessionStaysHere(t *testing.T) {
	for name, remoteFirst := range map[string]bool{"we first": false, "the remote first": true} {
		t.Run(name, func(t *testing.T) {
			streamPair(t, func(t *testing.T, near, far muxer.RawStream, conn *nowConn) {
				ask(t, near, far)
				if _, err := far.Write([]byte("answer ")); err != nil || conn.now.Load() != 1 {
					t.Fatalf("%v, %d answers", err, conn.now.Load())
				}
				if remoteFirst {
					_ = near.CloseWrite()
					synctest.Wait()
				}
				s := far.(*stream)
				s.conn.out.turn <- struct{}{} // go-yamux's writer gets no further
				for range 3 {
					if _, err := far.Write([]byte("more ")); err != nil {
						t.Fatal(err)
					}
				}
				_ = far.Close()
				if !remoteFirst {
					_ = near.CloseWrite()
				}
				<-s.conn.out.turn
				if b, err := io.ReadAll(near); err != nil || string(b) != "answer more more more " {
					t.Errorf("%q, %v", b, err)
				}
				synctest.Wait()
				s.conn.mu.Lock()
				defer s.conn.mu.Unlock()
				if len(s.conn.streams) != 0 {
					t.Errorf("%d streams are remembered", len(s.conn.streams))
				}
			})
		})
	}
}

// A stream that is closed or reset, or whose time is up, is not answered on.
func TestNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(muxer.RawStream) error
		want error
	}{
		"closed":      {func(s muxer.RawStream) error { return s.CloseWrite() }, net.ErrClosed},
		"reset":       {func(s muxer.RawStream) error { return s.Reset(muxer.CodeRequested) }, io.ErrClosedPipe},
		"time is up":  {func(s muxer.RawStream) error { return s.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"time passes": {func(s muxer.RawStream) error { return s.SetWriteDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			streamPair(t, func(t *testing.T, near, far muxer.RawStream, conn *nowConn) {
				ask(t, near, far)
				if err := c.end(far); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				if _, err := far.Write([]byte("x")); !errors.Is(err, c.want) || conn.now.Load() != 0 {
					t.Errorf("%v, %d answers, want %v", err, conn.now.Load(), c.want)
				}
			})
		})
	}
}
