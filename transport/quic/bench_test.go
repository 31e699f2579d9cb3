package quic

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// The benchmarks run ours beside quic-go alone, with the same certificates and settings. What they report is both ends'
// together, but for idle connections.

// maker makes connections between two nodes: as many as wanted, each from a socket of its own. stream is one of a
// connection.
type maker interface {
	connect(b *testing.B) [2]io.Closer
	stream(b *testing.B) (out io.WriteCloser, in func() io.Reader)
}

func benchBoth(b *testing.B, f func(*testing.B, maker)) {
	b.Run("ours", func(b *testing.B) { f(b, newOurs(b)) })
	b.Run("quic-go", func(b *testing.B) { f(b, newBare(b)) })
}

type ours struct {
	l   transport.Listener
	tls *tls.Security
}

func newOurs(b *testing.B) *ours {
	l, err := newTransport(b, Config{}, listenerKey).Listen(context.Background(),
		transporttest.Address(b, "/ip4/127.0.0.1/udp/0/quic-v1"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return &ours{l, tls.New(tls.Config{})}
}

// ourEnd is a dialing end, and the transport that has dialed it.
type ourEnd struct {
	*Conn
	tr *Transport
}

func (e *ourEnd) Close() error {
	err := e.Conn.Close()
	_ = e.tr.Close()
	return err
}

func (o *ours) conns(b *testing.B) (x *ourEnd, y *Conn) {
	tr, err := New(Config{}, Env{Identity: dialerKey, TLS: o.tls, RemoteKey: tls.RemoteKey})
	if err != nil {
		b.Fatal(err)
	}
	c, err := tr.Dial(context.Background(), o.l.Addr())
	if err != nil {
		b.Fatal(err)
	}
	a, _, err := o.l.Accept(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return &ourEnd{connOf(c), tr}, connOf(a)
}

func (o *ours) connect(b *testing.B) [2]io.Closer {
	x, y := o.conns(b)
	return [2]io.Closer{x, y}
}

func (o *ours) stream(b *testing.B) (io.WriteCloser, func() io.Reader) {
	x, y := o.conns(b)
	b.Cleanup(func() { x.Close(); y.Close() })
	s, err := x.Open(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return s, func() io.Reader {
		in, err := y.Accept(context.Background())
		if err != nil {
			b.Error(err)
		}
		return in
	}
}

type bare struct {
	at   net.Addr
	l    *lib.Listener
	tls  TLS
	conf *lib.Config
}

type bareEnd struct {
	*lib.Conn
	tr  *lib.Transport // nil when accepted
	udp *net.UDPConn
}

func (e *bareEnd) Close() error {
	err := e.CloseWithError(0, "")
	if e.tr != nil {
		_ = e.tr.Close()
		_ = e.udp.Close()
	}
	return err
}

func newBare(b *testing.B) *bare {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	e := &bare{at: udp.LocalAddr(), tls: tls.New(tls.Config{}), conf: newTransport(b, Config{}, listenerKey).conf}
	tr := &lib.Transport{Conn: udp, ConnectionIDLength: connIDSize}
	if e.l, err = tr.Listen(tls.New(tls.Config{}).ServerConfig(listenerKey), e.conf); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.l.Close(); tr.Close(); udp.Close() })
	return e
}

func (e *bare) conns(b *testing.B) (x, y *bareEnd) {
	udp, err := net.ListenUDP("udp4", nil)
	if err != nil {
		b.Fatal(err)
	}
	tr := &lib.Transport{Conn: udp, ConnectionIDLength: connIDSize}
	config, err := e.tls.ClientConfig(context.Background(), dialerKey, "")
	if err != nil {
		b.Fatal(err)
	}
	c, err := tr.Dial(context.Background(), e.at, config, e.conf)
	if err != nil {
		b.Fatal(err)
	}
	a, err := e.l.Accept(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return &bareEnd{c, tr, udp}, &bareEnd{a, nil, nil}
}

func (e *bare) connect(b *testing.B) [2]io.Closer {
	x, y := e.conns(b)
	return [2]io.Closer{x, y}
}

func (e *bare) stream(b *testing.B) (io.WriteCloser, func() io.Reader) {
	x, y := e.conns(b)
	b.Cleanup(func() { x.Close(); y.Close() })
	s, err := x.OpenStream()
	if err != nil {
		b.Fatal(err)
	}
	return s, func() io.Reader {
		in, err := y.AcceptStream(context.Background())
		if err != nil {
			b.Error(err)
		}
		return in
	}
}

// BenchmarkSetUp makes and ends connections, one after the other.
func BenchmarkSetUp(b *testing.B) {
	benchBoth(b, func(b *testing.B, m maker) {
		b.ReportAllocs()
		for b.Loop() {
			for _, c := range m.connect(b) {
				c.Close()
			}
		}
	})
}

// BenchmarkThroughput writes 64 KiB at a time on one stream.
func BenchmarkThroughput(b *testing.B) {
	benchBoth(b, func(b *testing.B, m maker) {
		out, accept := m.stream(b)
		p := make([]byte, 64<<10)
		var got, sent int64
		var wg sync.WaitGroup
		wg.Go(func() {
			got, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{accept()}, make([]byte, 64<<10))
		})
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := out.Write(p); err != nil {
				b.Fatal(err)
			}
			sent += int64(len(p))
		}
		if s, ok := out.(*stream); ok {
			_ = s.CloseWrite() // Close would end both sides
		} else {
			out.Close()
		}
		if wg.Wait(); got != sent {
			b.Fatalf("%d bytes arrived of %d", got, sent)
		}
	})
}

// BenchmarkIdle reports what one end of an idle connection holds, heap and stacks. Half of the ends have a socket of
// their own.
func BenchmarkIdle(b *testing.B) {
	const pairs = 200
	benchBoth(b, func(b *testing.B, m maker) {
		var before, after runtime.MemStats
		for range b.N {
			settle(&before)
			goroutines := runtime.NumGoroutine()
			var ends []io.Closer
			for range pairs {
				both := m.connect(b)
				ends = append(ends, both[:]...)
			}
			settle(&after)
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/(2*pairs), "heap-B/end")
			b.ReportMetric((float64(after.StackInuse)-float64(before.StackInuse))/(2*pairs), "stack-B/end")
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/(2*pairs), "goroutines/end")
			for _, c := range ends {
				c.Close()
			}
		}
	})
}

func settle(m *runtime.MemStats) {
	for range 4 { // empties the pools, and makes stacks small again
		runtime.GC()
	}
	runtime.ReadMemStats(m)
}
