// Package gopeer runs real go-libp2p hosts beside a test.
package gopeer

import (
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	gotcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"

	goquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
)

// Echo is the protocol of the echo service.
const Echo = "/echo/1.0.0"

// Agent is the hosts' agent string.
const Agent = "go-libp2p/test"

// Stack is one combination of transport, security and muxer.
type Stack struct {
	Name                       string // of the test
	Transport, Security, Muxer string // as our output names them
	Listen                     string // a free loopback port
	options                    []libp2p.Option
}

// Stacks lists the combinations that both we and go-libp2p have.
var Stacks = []Stack{
	{"tcp-noise", "tcp", "noise", "yamux", "/ip4/127.0.0.1/tcp/0",
		[]libp2p.Option{libp2p.Transport(gotcp.NewTCPTransport), libp2p.Security(gonoise.ID, gonoise.New),
			libp2p.Muxer(yamux.ID, yamux.DefaultTransport)}},
	{"tcp-tls", "tcp", "tls", "yamux", "/ip4/127.0.0.1/tcp/0",
		[]libp2p.Option{libp2p.Transport(gotcp.NewTCPTransport), libp2p.Security(gotls.ID, gotls.New),
			libp2p.Muxer(yamux.ID, yamux.DefaultTransport)}},
	{"quic", "quic", "tls", "quic", "/ip4/127.0.0.1/udp/0/quic-v1",
		[]libp2p.Option{libp2p.Transport(goquic.NewTransport)}},
}

// Start runs a host that echoes streams until the test ends. Its resource manager does not limit streams.
func Start(tb testing.TB, s Stack, more ...libp2p.Option) host.Host {
	tb.Helper()
	opts := append([]libp2p.Option{
		libp2p.ListenAddrStrings(s.Listen), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.UserAgent(Agent),
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}, s.options...)
	h, err := libp2p.New(append(opts, more...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close() })
	h.SetStreamHandler(Echo, EchoStream)
	return h
}

// EchoStream echoes a stream.
func EchoStream(s network.Stream) {
	_ = s.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(s, s); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}
