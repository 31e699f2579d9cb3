package suites

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/net/nettest"
)

// netStream is a stream of a connection as a net.Conn.
type netStream struct {
	network.MuxedStream
	local, remote net.Addr
	writing       *sync.Mutex
}

func (s netStream) LocalAddr() net.Addr  { return s.local }
func (s netStream) RemoteAddr() net.Addr { return s.remote }

// Write lets writers take turns, as two at once overrun the remote's window in go-yamux. Ours ends the connection then.
func (s netStream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.MuxedStream.Write(p)
}

// Close closes the stream. Where the other end has closed its own before, go-libp2p's over QUIC returns an error, also
// when both ends are go-libp2p's: a stream that is closed is not read any more, and quic-go's Close reports that.
//
// Nor does it end a Write that waits, so Close does that first. What was written before is still sent.
func (s netStream) Close() error {
	if _, ours := s.MuxedStream.(muxedStream); !ours {
		_ = s.SetWriteDeadline(time.Unix(1, 0))
	}
	err := s.MuxedStream.Close()
	if err != nil && strings.Contains(err.Error(), "close called for canceled stream") {
		return nil
	}
	return err
}

// opener makes the streams of one end of a connection.
type opener interface {
	OpenStream(context.Context) (network.MuxedStream, error)
	AcceptStream() (network.MuxedStream, error)
}

// TestNetConn runs the suite of net.Conn over streams, with a stream of ours as its first end and as its second, opened
// by us and by go-libp2p.
func TestNetConn(t *testing.T) {
	for _, carrier := range carriers {
		for name, side := range sides {
			t.Run(carrier.name+"/"+name, func(t *testing.T) {
				ours, theirs := carrier.connect(t, side)
				for _, c := range []struct {
					name            string
					dialer, arrival opener // of the stream
					swap            bool   // the end that opens is the second
				}{
					{"ours first, we open", ours, theirs, false},
					{"ours first, they open", theirs, ours, true},
					{"theirs first, they open", theirs, ours, false},
					{"theirs first, we open", ours, theirs, true},
				} {
					t.Run(c.name, func(t *testing.T) {
						nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
							opened, accepted, err := streamPair(c.dialer, c.arrival)
							if err != nil {
								return nil, nil, nil, err
							}
							first, second := net.Conn(opened), net.Conn(accepted)
							if c.swap {
								first, second = second, first
							}
							return first, second, func() {
								_ = opened.Reset()
								_ = accepted.Reset()
							}, nil
						})
					})
				}
			})
		}
	}
}

// streamPair opens a stream. The other end learns of it with its first byte.
func streamPair(dialer, arrival opener) (opened, accepted netStream, err error) {
	wrap := func(s network.MuxedStream) netStream {
		return netStream{s, &net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2}, &sync.Mutex{}}
	}
	o, err := dialer.OpenStream(context.Background())
	if err != nil {
		return opened, accepted, err
	}
	if _, err = o.Write([]byte{0}); err != nil {
		return opened, accepted, err
	}
	a, err := arrival.AcceptStream()
	if err != nil {
		return opened, accepted, err
	}
	_, err = io.ReadFull(a, make([]byte, 1))
	return wrap(o), wrap(a), err
}

var loopback = map[string]ma.Multiaddr{
	"tcp":  ma.StringCast("/ip4/127.0.0.1/tcp/0"),
	"quic": ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1"),
}
