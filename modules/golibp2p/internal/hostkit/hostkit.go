// Package hostkit makes the hosts that the tests and benchmarks of this module compare: ours, and go-libp2p's own,
// alike in what they speak. No limit of theirs is near what a test does.
package hostkit

import (
	"context"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	goquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	gotcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// Via is what hosts speak.
type Via string

// What hosts can speak. Over TCP all use yamux.
const (
	Noise Via = "noise" // over TCP
	TLS   Via = "tls"   // over TCP
	QUIC  Via = "quic"
	Mixed Via = "mixed" // all of them
)

// Each lists what hosts speak alone.
var Each = []Via{Noise, TLS, QUIC}

// Options say how a host differs from another of its kind.
type Options struct {
	Via    Via
	Key    crypto.PrivKey // nil: a new one
	Listen []string       // multiaddrs; nil: a free port of 127.0.0.1 for each transport
}

// Make makes a running host.
type Make func(Options) (host.Host, error)

// Listen returns the default listen addresses at an IP.
func (v Via) Listen(ip string) []string {
	tcp, quic := "/ip4/"+ip+"/tcp/0", "/ip4/"+ip+"/udp/0/quic-v1"
	switch v {
	case QUIC:
		return []string{quic}
	case Mixed:
		return []string{tcp, quic}
	}
	return []string{tcp}
}

func (o Options) listen() []string {
	if o.Listen == nil {
		return o.Via.Listen("127.0.0.1")
	}
	return o.Listen
}

// Theirs makes a host of go-libp2p's own. Its resource manager has no metrics.
func Theirs(o Options) (host.Host, error) {
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(limits),
		libp2p.ListenAddrStrings(o.listen()...)}
	if o.Key != nil {
		opts = append(opts, libp2p.Identity(o.Key))
	}
	if o.Via != QUIC {
		opts = append(opts, libp2p.Transport(gotcp.NewTCPTransport), libp2p.Muxer(yamux.ID, yamux.DefaultTransport))
	}
	if o.Via == Noise || o.Via == Mixed {
		opts = append(opts, libp2p.Security(gonoise.ID, gonoise.New))
	}
	if o.Via == TLS || o.Via == Mixed {
		opts = append(opts, libp2p.Security(gotls.ID, gotls.New))
	}
	if o.Via == QUIC || o.Via == Mixed {
		opts = append(opts, libp2p.Transport(goquic.NewTransport))
	}
	return libp2p.New(opts...)
}

// Info returns where a host is reached.
func Info(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// Connect connects a host to another.
func Connect(ctx context.Context, from, to host.Host) error { return from.Connect(ctx, Info(to)) }
