package yamux

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// running makes two sessions over loopback TCP and runs them until the test ends.
func running(b *testing.B, ha, hb muxer.Handler) (*lanes.Session, *lanes.Session) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	ca, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	cb, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	c := []muxer.Channel{{ID: 1}}
	x, y := pair(b, ca, cb, Config{}, c, c)
	var wg sync.WaitGroup
	wg.Go(func() { x.Run(context.Background(), ha) })
	wg.Go(func() { y.Run(context.Background(), hb) })
	b.Cleanup(func() {
		x.Close(muxer.CodeBanned, "")
		y.Close(muxer.CodeBanned, "")
		wg.Wait()
	})
	return x, y
}

var ignore = muxertest.HandlerFunc(func([]muxer.Message) error { return nil })

// BenchmarkSend is one sender on one channel over loopback TCP, without encryption, both ends in this process.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			done := make(chan struct{})
			got := 0
			s, _ := running(b, ignore, muxertest.HandlerFunc(func(msgs []muxer.Message) error {
				if got += len(msgs); got == b.N {
					close(done)
				}
				return nil
			}))
			msg := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := s.Send(context.Background(), 1, msg); err != nil {
					b.Fatal(err)
				}
			}
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkRTT is a round trip of 100 bytes on an idle link.
func BenchmarkRTT(b *testing.B) {
	back := make(chan struct{}, 1)
	var far *lanes.Session
	s, far := running(b, muxertest.HandlerFunc(func([]muxer.Message) error { back <- struct{}{}; return nil }),
		muxertest.HandlerFunc(func(msgs []muxer.Message) error {
			return far.Send(context.Background(), 1, msgs[0].Data)
		}))
	msg := make([]byte, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s.Send(context.Background(), 1, msg)
		<-back
	}
}
