package mconn

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

type handlerFunc func([]muxer.Message) error

func (f handlerFunc) Deliver(_ context.Context, msgs []muxer.Message) error { return f(msgs) }

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
func running(t testing.TB, a, b net.Conn, channels []muxer.Channel, cfg Config, ha, hb muxer.Handler) (*Session, *Session) {
	t.Helper()
	var pair [2]*Session
	var wg sync.WaitGroup
	for i, c := range []net.Conn{a, b} {
		s, err := New(Plain(c), channels, cfg)
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
			s, _ := running(b, x, y, []muxer.Channel{{ID: 1}}, Config{}, nil, handlerFunc(func(msgs []muxer.Message) error {
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

// cpu is the processor time that this process has used, in nanoseconds. Where other processes compete, it tells more than the clock.
func cpu() int64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano()
}
