package yamux

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	lib "github.com/libp2p/go-yamux/v4"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// distant returns a connection whose ends are some way apart, in virtual time. It holds as much as may be under way.
func distant(t *testing.T, path memory.Conditions) (dialer, listener net.Conn) {
	t.Helper()
	network := memory.NewNetwork(memory.Config{Conditions: path, Buffer: 64 << 20})
	host := func(last byte) *memory.Transport {
		return network.NewTransport(memory.HostConfig{IP: netip.AddrFrom4([4]byte{10, 0, 0, last})})
	}
	at := ma.StringCast("/ip4/10.0.0.1/tcp/1")
	l, err := host(1).Listen(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := host(2).Dial(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a.(net.Conn), b.(net.Conn)
}

// muxed makes streams of a connection.
func muxed(t *testing.T, c net.Conn, side muxer.Side, cfg Config) muxer.Streams {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.New(c, side)
	if err != nil {
		t.Fatal(err)
	}
	s.Up()
	return s
}

// carry writes n bytes to out, and says how long it takes until in has all of them.
func carry(t *testing.T, out io.Writer, in io.Reader, n int64) time.Duration {
	t.Helper()
	begin := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		piece := make([]byte, 256<<10)
		for left := n; left > 0; left -= int64(len(piece)) {
			if _, err := out.Write(piece[:min(left, int64(len(piece)))]); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if got, err := io.Copy(io.Discard, io.LimitReader(in, n)); got != n || err != nil {
		t.Errorf("%d bytes of %d came: %v", got, n, err)
	}
	return time.Since(begin)
}

// A stream over a long path carries a whole window in each round trip, once its window has grown; and a window does not
// grow where that is of no use. The other end is ours, or a bare go-yamux, which knows nothing of how we keep windows.
func TestGrowth(t *testing.T) {
	const (
		rtt   = 100 * time.Millisecond
		total = 128 << 20
		most  = 16 << 20
	)
	open := func(t *testing.T, c net.Conn, bare bool) net.Conn {
		if !bare {
			s := muxed(t, c, muxer.Dialer, Config{})
			t.Cleanup(func() { s.CloseWith(muxer.CodeRequested, "", 0) })
			st, err := s.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		cfg := lib.DefaultConfig()
		cfg.LogOutput = io.Discard
		s, err := lib.Client(c, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		st, err := s.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	for name, c := range map[string]struct {
		path memory.Conditions
		bare bool
		took time.Duration
		size int // of the window at the end
	}{
		// six round trips to grow from 256 KiB to 16 MiB, and one for the first and the last byte
		"long":              {memory.Conditions{Latency: rtt / 2}, false, (7 + total/most) * rtt, most},
		"long, to go-yamux": {memory.Conditions{Latency: rtt / 2}, true, (7 + total/most) * rtt, most},
		// 1 MB is under way; half of the window takes more than four round trips from 8 MiB on
		"long and narrow": {memory.Conditions{Latency: rtt / 2, Bandwidth: 10e6}, false,
			time.Duration(total) * time.Second / 10e6 * 103 / 100, 8 << 20},
		"short and wide": {memory.Conditions{Latency: shortPath / 2}, false,
			total / shortWindow * shortPath * 105 / 100, shortWindow},
		"short": {memory.Conditions{Latency: rtt / 2e6, Bandwidth: 10e6}, false,
			time.Duration(total) * time.Second / 10e6 * 103 / 100, initialWindow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := distant(t, c.path)
				s := muxed(t, b, muxer.Listener, Config{MaxWindow: most})
				defer s.CloseWith(muxer.CodeRequested, "", 0)
				out := open(t, a, c.bare)
				if _, err := out.Write([]byte{0}); err != nil {
					t.Fatal(err)
				}
				in, err := s.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the first ping is answered
				if took := carry(t, out, in, total); took > c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if size := in.(*stream).traffic.in.size; int(size) != c.size {
					t.Errorf("the window is of %d bytes, want %d", size, c.size)
				}
			})
		})
	}
}

// sender is a remote that sends all that it may on stream 1, and nothing else.
type sender struct {
	net.Conn
	grants chan int
}

// listen answers pings, and takes note of what is granted.
func (s *sender) listen() {
	defer close(s.grants)
	h := make([]byte, headerSize)
	for {
		if _, err := io.ReadFull(s, h); err != nil {
			return
		}
		length := binary.BigEndian.Uint32(h[8:])
		switch {
		case h[1] == typeWindow && length > 0:
			s.grants <- int(length)
		case h[1] == typePing && h[3] == flagSYN:
			s.Write(frame(typePing, flagACK, 0, length))
		}
	}
}

// fill sends n bytes, in one frame.
func (s *sender) fill(flags uint16, n int) {
	s.Write(frame(typeData, flags, 1, uint32(n), make([]byte, n)...))
}

// granted returns what was granted up to now, besides.
func (s *sender) granted() (n int) {
	synctest.Wait()
	for len(s.grants) > 0 {
		n += <-s.grants
	}
	return n
}

// startSender begins stream 1, and waits for a second. The stream's first window is full then.
func startSender(t *testing.T, cfg Config) (*sender, muxer.Streams, *stream) {
	t.Helper()
	a, b := distant(t, memory.Conditions{Latency: 50 * time.Millisecond})
	s := muxed(t, b, muxer.Listener, cfg)
	remote := &sender{a, make(chan int, 1000)}
	var wg sync.WaitGroup
	wg.Go(remote.listen)
	t.Cleanup(func() {
		s.CloseWith(muxer.CodeRequested, "", 0)
		a.Close()
		wg.Wait()
	})
	remote.fill(flagSYN, initialWindow)
	in, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	return remote, s, in.(*stream)
}

// Whatever is granted is taken, also when it comes at once and in one frame; one byte more ends the connection.
func TestAllThatIsGranted(t *testing.T) {
	for name, most := range map[string]int{"initial": initialWindow, "odd": 1<<20 + 7, "large": 16 << 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				remote, s, in := startSender(t, Config{MaxWindow: most})
				random := rand.New(rand.NewPCG(1, 2))
				read := make([]byte, 1<<20)
				size := initialWindow
				for range 30 {
					left := 0
					for unread := size; unread > 0; {
						n, err := in.Read(read[:1+random.IntN(len(read))])
						if err != nil {
							t.Fatal(err)
						}
						unread -= n
					}
					time.Sleep(100 * time.Millisecond)
					left = remote.granted()
					if left <= size/2 || left > most {
						t.Fatalf("%d bytes are granted after %d were read", left, size)
					}
					remote.fill(0, left)
					time.Sleep(100 * time.Millisecond)
					if err := in.conn.why(); err != nil {
						t.Fatalf("what was granted ended it: %v", err)
					}
					size = left
				}
				if size := in.traffic.in.size; int(size) != most {
					t.Errorf("the window has grown to %d bytes, want %d", size, most)
				}
				remote.fill(0, 1)
				var ce *muxer.CloseError
				if _, err := s.Accept(t.Context()); !errors.As(err, &ce) || ce.Code != muxer.CodeProtocolError ||
					ce.Remote {
					t.Errorf("a byte too many: %v", err)
				}
			})
		})
	}
}

// What is read after a read deadline has passed is given back, too.
func TestWindowAfterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, _, in := startSender(t, Config{})
		if err := in.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(in, make([]byte, initialWindow)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if n := remote.granted(); n < initialWindow {
			t.Errorf("%d bytes are granted after %d were read", n, initialWindow)
		}
		if _, err := in.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// A frame of a stream that is over, or never was, is passed over, however long.
func TestPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, s, in := startSender(t, Config{})
		in.Reset(muxer.CodeRequested)
		for _, id := range []uint32{1, 2, 3} {
			remote.Write(frame(typeData, 0, id, 1<<20, make([]byte, 1<<20)...))
		}
		remote.Write(frame(typeData, flagSYN, 5, 1, 'x'))
		next, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got [1]byte
		if _, err := next.Read(got[:]); err != nil || got[0] != 'x' {
			t.Errorf("%q, %v", got, err)
		}
	})
}
