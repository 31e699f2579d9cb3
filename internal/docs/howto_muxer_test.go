package docs

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// tallied is yamux that counts the streams that remotes open.
type tallied struct {
	muxer.StreamMuxer // speaks /yamux/1.0.0
	opened            atomic.Int64
}

func newTallied(cfg yamux.Config) (*tallied, error) {
	m, err := yamux.New(cfg)
	return &tallied{StreamMuxer: m}, err
}

// Name implements muxer.StreamMuxer.
func (*tallied) Name() string { return "tallied" }

// New implements muxer.StreamMuxer.
func (m *tallied) New(conn net.Conn, side muxer.Side) (muxer.Streams, error) {
	streams, err := m.StreamMuxer.New(conn, side)
	if err != nil {
		return nil, err
	}
	return &talliedStreams{streams, m}, nil
}

type talliedStreams struct {
	muxer.Streams
	to *tallied
}

// Accept implements muxer.Streams.
func (s *talliedStreams) Accept(ctx context.Context) (muxer.RawStream, error) {
	stream, err := s.Streams.Accept(ctx)
	if err == nil {
		s.to.opened.Add(1)
	}
	return stream, err
}

// Sessions over it do what each must.
func TestTallied(t *testing.T) {
	muxertest.Run(t, muxertest.Traits{CarriesCode: true, AnswersAlways: true, Streams: true},
		func(t testing.TB, a, b []muxer.Channel) (muxer.Session, muxer.Session) {
			mux, err := newTallied(yamux.Config{})
			if err != nil {
				t.Fatal(err)
			}
			session := func(conn net.Conn, side muxer.Side, channels []muxer.Channel) *lanes.Session {
				streams, err := mux.New(conn, side)
				if err != nil {
					t.Fatal(err)
				}
				s := lanes.New(streams, lanes.Config{})
				if err := s.SetChannels(channels); err != nil {
					t.Fatal(err)
				}
				return s
			}
			left, right := connection(t)
			return session(left, muxer.Dialer, a), session(right, muxer.Listener, b)
		})
}

// connection returns both ends of a connection in memory. For the test of priorities it is slow: where the receiver is
// the bottleneck, its windows limit each lane, and priorities matter little.
func connection(t testing.TB) (left, right net.Conn) {
	left, right = muxertest.Pipe(64 << 10)
	if strings.HasSuffix(t.Name(), "/Priority") {
		left, right = newPaced(left), newPaced(right)
	}
	return left, right
}

// paced is a connection of 1 GB/s in virtual time.
type paced struct {
	net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newPaced(c net.Conn) paced { return paced{c, make(chan struct{}), new(sync.Once)} }

func (p paced) Write(b []byte) (int, error) {
	t := time.NewTimer(time.Duration(len(b)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.closed: // yamux waits for its writer when it closes
	}
	return p.Conn.Write(b)
}

func (p paced) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

// Two libp2p nodes link with it.
func Example_muxer() {
	ctx := context.Background()
	start := func(listen ...string) (*switchyard.Node, *tallied) {
		key := must(handshake.GenerateNodeKey())
		mux := must(newTallied(yamux.Config{}))
		wire := must(libp2p.New(libp2p.Config{Identity: key, Securities: []handshake.Security{noise.New()},
			Muxers: []muxer.StreamMuxer{mux}}))
		node := must(switchyard.New(ctx, switchyard.Identity(key), switchyard.Listen(listen...),
			switchyard.Transports(tcp.New(tcp.Config{})), switchyard.Wires(wire)))
		go func() { _ = node.Run(ctx) }()
		check(node.Host().WaitListening(ctx))
		return node, mux
	}
	a, mux := start("/ip4/127.0.0.1/tcp/0")
	defer a.Close()
	b, _ := start()
	defer b.Close()
	peer := must(b.Host().Dial(ctx, a.Addresses()[0]))
	fmt.Println(peer.Muxer, mux.opened.Load() > 0)
	// Output: tallied true
}
