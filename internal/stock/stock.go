// Package stock has the constructors of the parts of a standard node. They know no framework: the root package calls
// them directly, modules/standard lists them as plug-ins. The package stands above all parts, although it is internal.
package stock

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// budget returns the default of what remotes can make sessions hold: a part of memory, which is limits.message_memory,
// but at least so many MiB. Unread data over QUIC may hold all of it at worst and over yamux a quarter, and unfinished
// messages a quarter on each wire: together 1.75 times limits.message_memory, beside what waits in inboxes. A memory of
// 0 is the default of host.Limits.
func budget(memory, part, least int64) int {
	return int(min(max(cmp.Or(memory, 256<<20)/part, least<<20), math.MaxInt))
}

// TCP builds the TCP transport.
func TCP(cfg tcp.Config) (*tcp.Transport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return tcp.New(cfg), nil
}

// QUIC builds the QUIC transport around the node's TLS. reset may be nil (quic.Env.ResetKey).
func QUIC(cfg quic.Config, memory int64, id handshake.Identity, withTLS quic.TLS, reset *[ResetKeySize]byte,
	log *slog.Logger) (*quic.Transport, error) {
	cfg.MaxUnread = cmp.Or(cfg.MaxUnread, budget(memory, 1, 8))
	return quic.New(cfg, quic.Env{Identity: id, TLS: withTLS, RemoteKey: tls.RemoteKey, ResetKey: reset, Logger: log})
}

// Comet builds CometBFT's wire: SecretConnection, then MConnection with the settings cfg.
func Comet(cfg mconn.Config, memory int64, id handshake.Identity, log *slog.Logger) (*comet.Wire, error) {
	cfg.Logger, cfg.Shared = log, &muxer.SharedPartial{Limit: int64(budget(memory, 4, 32))}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return comet.New(comet.Config{
		Identity: id,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
			check func(handshake.PublicKey) error) (comet.Secured, error) {
			c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
			if err != nil {
				return comet.Secured{}, err
			}
			return comet.Secured{Reader: c, Binding: c.Binding,
				Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
					return mconn.New(c, side, channels, cfg)
				}}, nil
		},
	})
}

// Libp2pConfig holds the settings of libp2p's wire. A zero field means its default.
type Libp2pConfig struct {
	CloseGrace, Negotiation time.Duration
	MaxPartial              int
}

// Validate reports which setting is impossible.
func (c Libp2pConfig) Validate() error {
	if c.CloseGrace < 0 || c.Negotiation < 0 || c.MaxPartial < 0 {
		return errors.New("close_grace, negotiation and max_partial cannot be negative (0 means the default)")
	}
	return nil
}

// Libp2p builds libp2p's wire from securities and muxers, each in order of preference.
func Libp2p(cfg Libp2pConfig, memory int64, id handshake.Identity, securities []handshake.Security,
	muxers []muxer.StreamMuxer, log *slog.Logger) (*libp2p.Wire, error) {
	return libp2p.New(libp2p.Config{
		Identity: id, Securities: securities, Muxers: muxers, Logger: log,
		Lanes: lanes.Config{
			CloseGrace: cfg.CloseGrace, Negotiation: cfg.Negotiation, MaxPartial: cfg.MaxPartial,
			Shared: &muxer.SharedPartial{Limit: int64(budget(memory, 4, 32))},
		},
	})
}

// Noise builds libp2p's Noise security.
func Noise(struct{}) (*noise.Security, error) { return noise.New(), nil }

// TLSConfig holds the settings of libp2p's TLS security.
type TLSConfig struct {
	PostQuantum bool // our dialers offer the post-quantum hybrid
}

// DefaultTLS returns the default settings.
func DefaultTLS() TLSConfig { return TLSConfig{PostQuantum: true} }

// TLS builds libp2p's TLS security.
func TLS(cfg TLSConfig) (*tls.Security, error) {
	return tls.New(tls.Config{Classic: !cfg.PostQuantum}), nil
}

// Yamux builds the yamux muxer.
func Yamux(cfg yamux.Config, memory int64, log *slog.Logger) (*yamux.Muxer, error) {
	cfg.Logger, cfg.MaxUnread = log, cmp.Or(cfg.MaxUnread, budget(memory, 4, 8))
	return yamux.New(cfg)
}

// Echo builds the echo service of a host, for messages and for streams.
func Echo(cfg echo.Config, h *host.Host, log *slog.Logger) (*echo.Service, error) {
	s, err := echo.New(cfg, h.OpenChannel, log)
	if err != nil {
		return nil, err
	}
	return s, s.HandleStreams(h.HandleStream)
}
