package interoplibp2p

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// secured is a security of either stack: what both ends of a connection do.
type secured struct {
	name         string
	dial, listen func(context.Context, net.Conn) (net.Conn, error)
}

// stacks holds our security and go-libp2p's, with the same keys and muxers.
func stacks(b *testing.B, p pairing) []secured {
	theirKeys := []crypto.PrivKey{newKey(b, crypto.Ed25519, 0), newKey(b, crypto.Ed25519, 0)}
	muxers := []string{"/yamux/1.0.0"}
	theirDialer, err := p.theirs(theirKeys[0], muxersOf(muxers))
	if err != nil {
		b.Fatal(err)
	}
	theirListener, err := p.theirs(theirKeys[1], muxersOf(muxers))
	if err != nil {
		b.Fatal(err)
	}
	theirID, err := peer.IDFromPrivateKey(theirKeys[1])
	if err != nil {
		b.Fatal(err)
	}
	other := handshake.NewIdentity([handshake.SeedSize]byte{2})
	ourDialer, ourListener := p.ours(), p.ours()
	return []secured{
		{"switchyard",
			func(ctx context.Context, c net.Conn) (net.Conn, error) {
				return ourDialer.Secure(ctx, c,
					handshake.Securing{Side: muxer.Dialer, Identity: ourKey, Want: other.ID(), Muxers: muxers})
			},
			func(ctx context.Context, c net.Conn) (net.Conn, error) {
				return ourListener.Secure(ctx, c,
					handshake.Securing{Side: muxer.Listener, Identity: other, Muxers: muxers})
			}},
		{"go-libp2p",
			func(ctx context.Context, c net.Conn) (net.Conn, error) {
				return theirDialer.SecureOutbound(ctx, c, theirID)
			},
			func(ctx context.Context, c net.Conn) (net.Conn, error) {
				return theirListener.SecureInbound(ctx, c, "")
			}},
	}
}

// BenchmarkSetUp measures a TCP connection and both ends' handshakes, one at a time and with 16 in flight.
func BenchmarkSetUp(b *testing.B) {
	for _, p := range pairings {
		for _, s := range stacks(b, p) {
			for _, flights := range []int{1, 16} {
				name := map[int]string{1: "alone", 16: "of16"}[flights]
				b.Run(p.name+"/"+name+"/"+s.name, func(b *testing.B) { benchSetUp(b, s, flights) })
			}
		}
	}
}

func benchSetUp(b *testing.B, s secured, flights int) {
	ctx := context.Background()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var listeners, dialers sync.WaitGroup
	listeners.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			listeners.Go(func() {
				defer raw.Close()
				c, err := s.listen(ctx, raw)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = c.Write([]byte{1}) // so that the dialer knows that we are ready
				_, _ = c.Read(make([]byte, 1))
			})
		}
	})
	work := make(chan struct{})
	for range flights {
		dialers.Go(func() {
			for range work {
				raw, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Error(err)
					continue
				}
				if c, err := s.dial(ctx, raw); err != nil {
					b.Error(err)
				} else if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					b.Error(err)
				}
				raw.Close()
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu(b)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	dialers.Wait()
	b.StopTimer()
	l.Close()
	listeners.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "set-ups/s")
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkThroughput writes 64 KiB at a time. The reader reads 64 KiB at a time, or 4 KiB as a muxer with such a
// buffer does.
func BenchmarkThroughput(b *testing.B) {
	for _, p := range pairings {
		for _, read := range []int{64 << 10, 4 << 10} {
			for _, s := range stacks(b, p) {
				b.Run(p.name+"/"+map[int]string{64 << 10: "by64K", 4 << 10: "by4K"}[read]+"/"+s.name,
					func(b *testing.B) {
						benchStream(b, s, 64<<10, read)
					})
			}
		}
	}
}

func benchStream(b *testing.B, s secured, size, read int) {
	x, y := tcpPair(b)
	var listener net.Conn
	var listenErr error
	var group sync.WaitGroup
	group.Go(func() { listener, listenErr = s.listen(context.Background(), y) })
	dialer, err := s.dial(context.Background(), x)
	group.Wait()
	if err != nil || listenErr != nil {
		b.Fatal(err, listenErr)
	}
	group.Go(func() {
		buf := make([]byte, read)
		for left := int64(b.N) * int64(size); left > 0; {
			n, err := listener.Read(buf)
			if err != nil {
				b.Error(err)
				return
			}
			left -= int64(n)
		}
	})
	p := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu(b)
	for range b.N {
		if _, err := dialer.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	group.Wait()
	b.ReportMetric(float64((cpu(b)-used).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
}
