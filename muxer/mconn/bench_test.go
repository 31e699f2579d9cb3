package mconn

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

type handlerFunc = muxertest.HandlerFunc

// loopback is a TCP connection of this process with itself.
func loopback(t testing.TB) (net.Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// running makes two sessions over a connection and runs them until the test ends.
func running(
	t testing.TB, a, b net.Conn, channels []muxer.Channel, cfg Config, ha, hb muxer.Handler,
) (*Session, *Session) {
	t.Helper()
	var pair [2]*Session
	var wg sync.WaitGroup
	for i, c := range []net.Conn{a, b} {
		s, err := New(Plain(c), muxer.Dialer, channels, cfg)
		if err != nil {
			t.Fatal(err)
		}
		pair[i] = s
		h := []muxer.Handler{ha, hb}[i]
		if h == nil {
			h = handlerFunc(func([]muxer.Message) error { return nil })
		}
		wg.Go(func() { s.Run(context.Background(), h) })
	}
	t.Cleanup(func() {
		pair[0].Close(muxer.CodeBanned, "")
		pair[1].Close(muxer.CodeBanned, "")
		wg.Wait()
	})
	return pair[0], pair[1]
}

// BenchmarkSend is one sender on one channel over loopback TCP, both ends in this process.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			done := make(chan struct{})
			got := 0
			x, y := loopback(b)
			s, _ := running(b, x, y, []muxer.Channel{{ID: 1}}, Config{}, nil,
				handlerFunc(func(msgs []muxer.Message) error {
					if got += len(msgs); got == b.N {
						close(done)
					}
					return nil
				}))
			msg := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			c0 := cpu()
			for range b.N {
				if err := s.Send(context.Background(), 1, msg); err != nil {
					b.Fatal(err)
				}
			}
			<-done
			b.ReportMetric(float64(cpu()-c0)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkRTT is a round trip of 100 bytes on an idle link.
func BenchmarkRTT(b *testing.B) {
	back := make(chan struct{}, 1)
	x, y := loopback(b)
	var far *Session
	s, far := running(b, x, y, []muxer.Channel{{ID: 1}}, Config{},
		handlerFunc(func([]muxer.Message) error { back <- struct{}{}; return nil }),
		handlerFunc(func(msgs []muxer.Message) error { return far.Send(context.Background(), 1, msgs[0].Data) }))
	msg := make([]byte, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s.Send(context.Background(), 1, msg)
		<-back
	}
}

// copier is a connection that costs one copy each way and nothing else: what it brings comes in pieces as long as
// SecretConnection's frames.
type copier struct {
	wire []byte // brought again and again
	at   int
	left int // packets' worth of wire to bring
	buf  [64 << 10]byte
	used int
}

func (c *copier) Next() ([]byte, error) {
	if c.at == len(c.wire) {
		if c.left--; c.left <= 0 {
			return nil, io.EOF
		}
		c.at = 0
	}
	n := min(1024, len(c.wire)-c.at)
	c.at += n
	return c.wire[c.at-n : c.at], nil
}
func (c *copier) Buffered() bool { return true }
func (c *copier) Write(p []byte) (int, error) {
	if c.used+len(p) > len(c.buf) {
		c.used = 0
	}
	c.used += copy(c.buf[c.used:], p)
	return len(p), nil
}
func (c *copier) Flush() error { return nil }
func (c *copier) Close() error { return nil }

// BenchmarkWriter is our own work of sending a message, from Send to the connection.
func BenchmarkWriter(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := New(&copier{}, muxer.Listener, []muxer.Channel{{ID: 1}}, Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.stop()
			msg := make([]byte, size)
			batch := batches.New().(*batch)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for range b.N {
				for !s.TrySend(1, msg) {
					for !s.idle() {
						s.take(batch)
						s.write(batch)
					}
				}
			}
		})
	}
}

// BenchmarkReader is our own work of receiving a message, from the connection to Deliver.
func BenchmarkReader(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := &copier{}
			for data := make([]byte, size); len(data) > 0; {
				n := min(len(data), 1024)
				w.wire = append(w.wire, packet(1, n == len(data), data[:n])...)
				data = data[n:]
			}
			one := w.wire
			for len(w.wire) < 64<<10 {
				w.wire = append(w.wire, one...)
			}
			w.left = (b.N*len(one) + len(w.wire) - 1) / len(w.wire)
			s, err := New(w, muxer.Listener, []muxer.Channel{{ID: 1}}, Config{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			s.readLoop(handlerFunc(func([]muxer.Message) error { return nil }))
		})
	}
}
