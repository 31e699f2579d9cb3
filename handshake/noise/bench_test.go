package noise

import (
	"context"
	"net"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// securer does one end's handshake.
func securer(as handshake.Securing) func(net.Conn) error {
	s := New()
	return func(c net.Conn) error {
		_, err := s.Secure(context.Background(), c, as)
		return err
	}
}

func BenchmarkHandshakeMemory(b *testing.B) {
	handshaketest.BenchHandshakes(b, handshaketest.MemoryDialer(), securer(dialing()), securer(listening()))
}

// BenchmarkHandshakeTCP includes the connect and the accept, which BenchmarkConnectTCP measures alone.
func BenchmarkHandshakeTCP(b *testing.B) {
	handshaketest.BenchHandshakes(b, handshaketest.TCPDialer(b), securer(dialing()), securer(listening()))
}

func BenchmarkConnectTCP(b *testing.B) { handshaketest.BenchConnects(b, handshaketest.TCPDialer(b)) }

func BenchmarkIdle(b *testing.B) {
	handshaketest.BenchIdle(b, func() (*Conn, *Conn) {
		x, y := memPipe()
		cx, cy := securedPair(b, x, y)
		for _, c := range []*Conn{cx, cy} {
			c.Conn, c.reader.conn, c.writer.conn = nil, nil, nil
		}
		return cx, cy
	})
}

// benchStream writes size bytes at a time and reads read.
func benchStream(b *testing.B, size, read int) {
	x, y := handshaketest.TCPPair(b)
	cx, cy := securedPair(b, x, y)
	handshaketest.BenchConns(b, cx, cy, size, read)
}

func BenchmarkThroughput64K(b *testing.B)     { benchStream(b, 64<<10, 64<<10) }
func BenchmarkThroughput1M(b *testing.B)      { benchStream(b, 1<<20, 64<<10) }
func BenchmarkThroughput64KBy4K(b *testing.B) { benchStream(b, 64<<10, 4<<10) }
func BenchmarkThroughput16K(b *testing.B)     { benchStream(b, 16<<10, 64<<10) }
func BenchmarkThroughput1K(b *testing.B)      { benchStream(b, 1<<10, 4<<10) }
func BenchmarkThroughput100(b *testing.B)     { benchStream(b, 100, 4<<10) }

func BenchmarkRoundTrip(b *testing.B) {
	x, y := handshaketest.TCPPair(b)
	cx, cy := securedPair(b, x, y)
	handshaketest.BenchRoundTrip(b, cx, cy)
}
