package secretconn

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// The handshake benchmarks do both ends' handshakes, with a node info of usual size as early data. The bytes and allocations that they
// report are both ends' together.
func benchHandshakes(b *testing.B, dial func() (x, y net.Conn)) {
	opts := Options{EarlyData: make([]byte, 200)}
	ctx, idX, idY := context.Background(), testKey(1), testKey(2)
	conns, done := make(chan net.Conn), make(chan error)
	go func() {
		defer close(done)
		for y := range conns {
			_, err := Handshake(ctx, y, idY, opts)
			done <- err
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		x, y := dial()
		conns <- y
		_, err := Handshake(ctx, x, idX, opts)
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
				c.conn, c.reader.conn, c.writer.conn = nil, nil, nil
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

// benchStream measures until all of b.N writes of size bytes have been read at the other end.
func benchStream(b *testing.B, size int, write func([]byte) error, read func() (int, error)) {
	done := make(chan error, 1)
	go func() {
		for left := int64(b.N) * int64(size); left > 0; {
			n, err := read()
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
		if err := write(p); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func benchPair(b *testing.B) (*Conn, *Conn) {
	x, y := tcpPair(b)
	cx, cy := securedPair(b, x, y)
	x.SetDeadline(time.Time{})
	y.SetDeadline(time.Time{})
	return cx, cy
}

func benchSecured(b *testing.B, size int) {
	cx, cy := benchPair(b)
	benchStream(b, size, func(p []byte) error {
		if _, err := cx.Write(p); err != nil {
			return err
		}
		return cx.Flush()
	}, func() (int, error) {
		p, err := cy.Next()
		return len(p), err
	})
}

func BenchmarkThroughput64K(b *testing.B) { benchSecured(b, 64<<10) }
func BenchmarkThroughput1K(b *testing.B)  { benchSecured(b, 1<<10) }
func BenchmarkThroughput100(b *testing.B) { benchSecured(b, 100) }

// BenchmarkThroughputRaw is what TCP does without us.
func BenchmarkThroughputRaw(b *testing.B) {
	x, y := tcpPair(b)
	x.SetDeadline(time.Time{})
	y.SetDeadline(time.Time{})
	buf := make([]byte, 64<<10)
	benchStream(b, 64<<10, func(p []byte) error {
		_, err := x.Write(p)
		return err
	}, func() (int, error) { return y.Read(buf) })
}

// BenchmarkRoundTrip sends 100 bytes and waits for their echo.
func BenchmarkRoundTrip(b *testing.B) {
	cx, cy := benchPair(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			p, err := cy.Next()
			if err != nil {
				return
			}
			cy.Write(p)
			if cy.Flush() != nil {
				return
			}
		}
	}()
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		cx.Write(p)
		cx.Flush()
		if _, err := io.ReadFull(cx, p); err != nil {
			b.Fatal(err)
		}
	}
	cx.Close()
	<-done
}

// BenchmarkSeal and BenchmarkOpen are what the cipher alone takes for a frame: the floor under a direction's throughput.
func BenchmarkSeal(b *testing.B) {
	aead, _ := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	frame, nonce := make([]byte, sealedSize), make([]byte, chacha20poly1305.NonceSize)
	b.SetBytes(dataSize)
	for b.Loop() {
		aead.Seal(frame[:0], nonce, frame[:plainSize], nil)
	}
}

func BenchmarkOpen(b *testing.B) {
	aead, _ := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	frame, nonce := make([]byte, sealedSize), make([]byte, chacha20poly1305.NonceSize)
	sealed := aead.Seal(nil, nonce, frame[:plainSize], nil)
	b.SetBytes(dataSize)
	for b.Loop() {
		copy(frame, sealed)
		if _, err := aead.Open(frame[:0], nonce, frame, nil); err != nil {
			b.Fatal(err)
		}
	}
}
