package secretconn

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
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

func benchThroughput(b *testing.B, size int, write func([]byte) error, drain func() error) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	done := make(chan error, 1)
	go func() { done <- drain() }()
	p := make([]byte, size)
	for b.Loop() {
		if err := write(p); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
}

func benchPair(b *testing.B) (net.Conn, net.Conn) {
	x, y := tcpPair(b)
	x.SetDeadline(time.Time{})
	y.SetDeadline(time.Time{})
	return x, y
}

func drainNext(c *Conn) func() error {
	return func() error {
		for {
			if _, err := c.Next(); err != nil {
				return err
			}
		}
	}
}

func BenchmarkThroughput64K(b *testing.B) {
	x, y := benchPair(b)
	cx, cy := securedPair(b, x, y)
	x.SetDeadline(time.Time{})
	benchThroughput(b, 64<<10, func(p []byte) error {
		if _, err := cx.Write(p); err != nil {
			return err
		}
		return cx.Flush()
	}, drainNext(cy))
}

func BenchmarkThroughputStream(b *testing.B) {
	x, y := benchPair(b)
	cx, cy := securedPair(b, x, y)
	benchThroughput(b, 64<<10, func(p []byte) error {
		_, err := cx.Write(p)
		return err
	}, drainNext(cy))
}

func BenchmarkThroughputRawTCP(b *testing.B) {
	x, y := benchPair(b)
	benchThroughput(b, 64<<10, func(p []byte) error { _, err := x.Write(p); return err }, func() error {
		buf := make([]byte, 64<<10)
		for {
			if _, err := y.Read(buf); err != nil {
				return err
			}
		}
	})
}

// BenchmarkSmall writes 100 bytes and flushes each.
func BenchmarkSmall(b *testing.B) {
	x, y := benchPair(b)
	cx, cy := securedPair(b, x, y)
	benchThroughput(b, 100, func(p []byte) error {
		if _, err := cx.Write(p); err != nil {
			return err
		}
		return cx.Flush()
	}, drainNext(cy))
}

func BenchmarkRoundTrip(b *testing.B) {
	x, y := benchPair(b)
	cx, cy := securedPair(b, x, y)
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
	cy.Close()
	<-done
}
