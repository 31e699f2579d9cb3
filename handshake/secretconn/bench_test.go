package secretconn

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// shaking does one end's handshake, with a node info of usual size as early data.
func shaking(seed byte) func(net.Conn) error {
	id, opts := testKey(seed), Options{EarlyData: make([]byte, 200)}
	return func(c net.Conn) error {
		_, err := Handshake(context.Background(), c, id, opts)
		return err
	}
}

func BenchmarkHandshakeMemory(b *testing.B) {
	handshaketest.BenchHandshakes(b, handshaketest.MemoryDialer(), shaking(1), shaking(2))
}

// BenchmarkHandshakeTCP includes the connect and the accept, which BenchmarkConnectTCP measures alone.
func BenchmarkHandshakeTCP(b *testing.B) {
	handshaketest.BenchHandshakes(b, handshaketest.TCPDialer(b), shaking(1), shaking(2))
}

func BenchmarkConnectTCP(b *testing.B) { handshaketest.BenchConnects(b, handshaketest.TCPDialer(b)) }

func BenchmarkIdle(b *testing.B) {
	handshaketest.BenchIdle(b, func() (*Conn, *Conn) {
		x, y := memPipe()
		cx, cy := securedPair(b, x, y)
		for _, c := range []*Conn{cx, cy} {
			c.conn, c.reader.conn, c.writer.conn = nil, nil, nil
		}
		return cx, cy
	})
}

func benchPair(b *testing.B) (*Conn, *Conn) {
	x, y := handshaketest.TCPPair(b)
	cx, cy := securedPair(b, x, y)
	x.SetDeadline(time.Time{})
	y.SetDeadline(time.Time{})
	return cx, cy
}

func benchSecured(b *testing.B, size int) {
	cx, cy := benchPair(b)
	handshaketest.BenchStream(b, size, func(p []byte) error {
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
	x, y := handshaketest.TCPPair(b)
	handshaketest.BenchConns(b, x, y, 64<<10, 64<<10)
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

// BenchmarkSeal and BenchmarkOpen are what the cipher alone takes for a frame: the floor under a direction's
// throughput.
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
