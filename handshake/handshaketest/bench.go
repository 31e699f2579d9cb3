package handshaketest

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// MemoryDialer returns what makes connections in memory.
func MemoryDialer() func() (dialer, listener net.Conn) {
	return func() (net.Conn, net.Conn) { return Pipe("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/2") }
}

// BenchHandshakes measures both ends' handshakes over connections that dial makes. The bytes and allocations that it
// reports are both ends' together.
func BenchHandshakes(b *testing.B, dial func() (dialer, listener net.Conn), dialing, listening func(net.Conn) error) {
	conns, done := make(chan net.Conn), make(chan error)
	go func() {
		defer close(done)
		for y := range conns {
			done <- listening(y)
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		x, y := dial()
		conns <- y
		if err := errors.Join(dialing(x), <-done); err != nil {
			b.Fatal(err)
		}
		x.Close()
		y.Close()
	}
	close(conns)
	<-done
}

// BenchConnects measures what BenchHandshakes spends on connections.
func BenchConnects(b *testing.B, dial func() (dialer, listener net.Conn)) {
	b.ReportAllocs()
	for b.Loop() {
		x, y := dial()
		x.Close()
		y.Close()
	}
}

// BenchIdle reports what the heap holds for one end of an idle connection. Pair makes both ends, without the
// connections beneath.
func BenchIdle[C any](b *testing.B, pair func() (dialer, listener C)) {
	const pairs = 200
	var before, after runtime.MemStats
	for range b.N {
		conns := make([]C, 0, 2*pairs)
		runtime.GC()
		runtime.GC() // twice: that empties the pools
		runtime.ReadMemStats(&before)
		for range pairs {
			x, y := pair()
			conns = append(conns, x, y)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/(2*pairs), "heap-B/end")
		runtime.KeepAlive(conns)
	}
}

// BenchStream measures until all of b.N writes of size bytes have been read at the other end; read returns how many
// bytes it got.
func BenchStream(b *testing.B, size int, write func([]byte) error, read func() (int, error)) {
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

// BenchConns is BenchStream from one connection to another, whose reads are of read bytes.
func BenchConns(b *testing.B, dialer, listener net.Conn, size, read int) {
	dialer.SetDeadline(time.Time{})
	listener.SetDeadline(time.Time{})
	buf := make([]byte, read)
	BenchStream(b, size, func(p []byte) error {
		_, err := dialer.Write(p)
		return err
	}, func() (int, error) { return listener.Read(buf) })
}

// BenchRoundTrip sends 100 bytes and waits for their echo.
func BenchRoundTrip(b *testing.B, dialer, listener net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyBuffer(listener, listener, make([]byte, 4<<10))
	}()
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		dialer.Write(p)
		if _, err := io.ReadFull(dialer, p); err != nil {
			b.Fatal(err)
		}
	}
	dialer.Close()
	<-done
}
