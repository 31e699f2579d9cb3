package stock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// proberMoniker is what a prober says that it is.
const proberMoniker = "switchyard-autonat"

// Prober returns the autonat.Prober of a standard node. Each call makes a transport of its own, so that over QUIC, too,
// the dial comes from a port that no NAT on the way knows yet.
func Prober(version string, log *slog.Logger) autonat.Prober {
	return func(ctx context.Context, to transport.Address, use func(context.Context, autonat.Opener) error) error {
		key, err := handshake.GenerateNodeKey()
		if err != nil {
			return err
		}
		noise, err := Noise(struct{}{})
		if err != nil {
			return err
		}
		secure, err := TLS(DefaultTLS())
		if err != nil {
			return err
		}
		mux, err := Yamux(yamux.Config{}, 0, log)
		if err != nil {
			return err
		}
		wire, err := libp2p.New(libp2p.Config{Identity: key, Logger: log, Plain: true,
			Securities: []handshake.Security{noise, secure}, Muxers: []muxer.StreamMuxer{mux}})
		if err != nil {
			return err
		}
		var over transport.Transport
		if to.Network() == "udp" {
			over, err = QUIC(quic.Config{}, 0, key, secure, nil, log)
		} else {
			over, err = TCP(tcp.Config{})
		}
		if err != nil {
			return err
		}
		defer over.Close()
		info := handshake.NodeInfo{ID: key.ID(), PeerID: key.Public().PeerID(), Moniker: proberMoniker,
			Network: proberMoniker, Version: version}
		u, err := handshake.NewUpgrader(handshake.Config{Self: key.ID(), Wires: []handshake.Wire{wire}, Logger: log,
			Local:    func(transport.Conn) handshake.NodeInfo { return info },
			Channels: func() []muxer.Channel { return nil }})
		if err != nil {
			return err
		}
		return probe(ctx, over, u, to, use)
	}
}

func probe(ctx context.Context, over transport.Transport, u *handshake.Upgrader, to transport.Address,
	use func(context.Context, autonat.Opener) error) error {
	began := time.Now()
	raw, err := over.Dial(ctx, to.Multiaddr())
	if err != nil {
		return err
	}
	link, err := u.Outbound(ctx, raw, to, time.Since(began))
	if err != nil {
		var failed *handshake.StageError
		if errors.As(err, &failed) && (failed.Stage == handshake.StageMuxer || failed.Stage == handshake.StageInfo) {
			return fmt.Errorf("%w: %w", autonat.ErrEnded, err)
		}
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = link.Session.Run(ctx, proberPeer{})
	}()
	err = use(ctx, link.Session.OpenStream)
	_ = link.Session.Close(muxer.CodeInquiryDone, "")
	<-ended
	return err
}

// proberPeer is the muxer.Handler of a probe, which takes nothing.
type proberPeer struct{}

func (proberPeer) Established()                                   {}
func (proberPeer) Deliver(context.Context, []muxer.Message) error { return nil }
func (proberPeer) Serves(string) bool                             { return false }
func (proberPeer) ServeStream(_ context.Context, s muxer.Stream)  { _ = s.Reset(muxer.CodeIncompatible) }
