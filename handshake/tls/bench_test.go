package tls

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// The handshake benchmarks do both ends' handshakes. The bytes and allocations that they report are both ends' together.
func benchHandshakes(b *testing.B, dial func() (x, y net.Conn)) {
	sx, sy := New(), New()
	ctx := context.Background()
	conns, done := make(chan net.Conn), make(chan error)
	go func() {
		defer close(done)
		for y := range conns {
			_, err := sy.Secure(ctx, y, securing(muxer.Listener))
			done <- err
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		x, y := dial()
		conns <- y
		_, err := sx.Secure(ctx, x, securing(muxer.Dialer))
		if err := errors.Join(err, <-done); err != nil {
			b.Fatal(err)
		}
		x.Close()
		y.Close()
	}
	close(conns)
	<-done
}

func BenchmarkHandshakeMemory(b *testing.B) {
	benchHandshakes(b, func() (x, y net.Conn) { return memPipe() })
}

// BenchmarkHandshakeTCP includes the connect and the accept, which BenchmarkConnectTCP measures alone.
func BenchmarkHandshakeTCP(b *testing.B) { benchHandshakes(b, tcpDialer(b)) }

func BenchmarkConnectTCP(b *testing.B) {
	dial := tcpDialer(b)
	b.ReportAllocs()
	for b.Loop() {
		x, y := dial()
		x.Close()
		y.Close()
	}
}

func tcpDialer(b *testing.B) func() (x, y net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return func() (x, y net.Conn) {
		if x, err = net.Dial("tcp", l.Addr().String()); err != nil {
			b.Fatal(err)
		}
		if y, err = l.Accept(); err != nil {
			b.Fatal(err)
		}
		return x, y
	}
}

// BenchmarkIdle reports what the heap holds for one end of an idle connection, without the connection beneath.
func BenchmarkIdle(b *testing.B) {
	const pairs = 200
	var before, after runtime.MemStats
	for range b.N {
		conns := make([]*Conn, 0, 2*pairs)
		runtime.GC()
		runtime.GC() // twice: that empties the pools
		runtime.ReadMemStats(&before)
		for range pairs {
			x, y := memPipe()
			cx, cy := securedPair(b, x, y)
			for _, c := range []*Conn{cx, cy} {
				c.under.Conn = nil
				conns = append(conns, c)
			}
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/(2*pairs), "heap-B/end")
		runtime.KeepAlive(conns)
	}
}

// benchStream measures until all of b.N writes of size bytes have been read at the other end, reads of read bytes at a time.
func benchStream(b *testing.B, size, read int) {
	x, y := tcpPair(b)
	cx, cy := securedPair(b, x, y)
	x.SetDeadline(time.Time{})
	y.SetDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, read)
		for left := int64(b.N) * int64(size); left > 0; {
			n, err := cy.Read(buf)
			if err != nil {
				done <- err
				return
			}
			left -= int64(n)
		}
		done <- nil
	}()
	p := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := cx.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkThroughput64K(b *testing.B)     { benchStream(b, 64<<10, 64<<10) }
func BenchmarkThroughput1M(b *testing.B)      { benchStream(b, 1<<20, 64<<10) }
func BenchmarkThroughput64KBy4K(b *testing.B) { benchStream(b, 64<<10, 4<<10) }
func BenchmarkThroughput16K(b *testing.B)     { benchStream(b, 16<<10, 64<<10) }
func BenchmarkThroughput1K(b *testing.B)      { benchStream(b, 1<<10, 4<<10) }
func BenchmarkThroughput100(b *testing.B)     { benchStream(b, 100, 4<<10) }

// BenchmarkRoundTrip sends 100 bytes and waits for their echo.
func BenchmarkRoundTrip(b *testing.B) {
	x, y := tcpPair(b)
	cx, cy := securedPair(b, x, y)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyBuffer(cy, cy, make([]byte, 4<<10))
	}()
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		cx.Write(p)
		if _, err := io.ReadFull(cx, p); err != nil {
			b.Fatal(err)
		}
	}
	cx.Close()
	<-done
}
