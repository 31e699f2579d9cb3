// Command switchyard runs and looks after a Switchyard node. `switchyard help` lists its commands; docs/cli.md describes them.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/discovery/static"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// plugins is what this binary can do. To add a plug-in, add a line; see docs/plugins.md.
func plugins() []modules.Plugin {
	return []modules.Plugin{
		modules.Transport("tcp", zero[tcp.Config], newTCP),
		modules.SecureTransport("quic", zero[quic.Config], newQUIC),
		modules.Wire("comet", zero[mconn.Config], newComet),
		modules.StreamWire("libp2p", zero[libp2pConfig], newLibp2p),
		modules.Security("noise", zero[struct{}], func(struct{}) (*noise.Security, error) { return noise.New(), nil }),
		modules.Security("tls", zero[tls.Config], func(cfg tls.Config) (*tls.Security, error) { return tls.New(cfg), nil }),
		modules.Muxer("yamux", zero[yamux.Config], newYamux),
		modules.Discovery("pex", pex.Default, pex.New),
		modules.Discovery("static", static.Default, static.New),
		modules.Service("echo", zero[echo.Config], newEcho),
		modules.AbsentService("relay"),
	}
}

// zero is the defaults of a Config whose zero value has them.
func zero[C any]() (c C) { return c }

func newTCP(cfg tcp.Config) (*tcp.Transport, error) { return tcp.New(cfg), nil }

// newQUIC builds QUIC around the node's own TLS.
func newQUIC(cfg quic.Config, env modules.TransportEnv) (*quic.Transport, error) {
	s, err := env.Security("tls")
	if err != nil {
		return nil, err
	}
	secure, ok := s.(quic.TLS)
	if !ok {
		return nil, fmt.Errorf("the security %q has no TLS for QUIC", s.Name())
	}
	key, err := resetKey(env.Identity)
	if err != nil {
		return nil, err
	}
	return quic.New(cfg, quic.Env{Identity: env.Identity, TLS: secure, RemoteKey: tls.RemoteKey, ResetKey: key, Logger: env.Logger})
}

// resetKey derives a secret from the node's key that is the same after a restart. What is signed has a form that no handshake asks a signature for:
// SecretConnection signs 32 bytes, Noise and TLS what begins with libp2p's prefixes.
func resetKey(id handshake.Identity) (*[32]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	sig, err := id.Sign(ctx, []byte("switchyard: the key of QUIC's stateless resets, version 1"))
	if err != nil {
		return nil, fmt.Errorf("derive the reset key: %w", err)
	}
	key := sha256.Sum256(sig)
	return &key, nil
}

// newComet builds CometBFT's wire from its parts: SecretConnection and MConnection. [wires.comet] holds the settings of the latter.
func newComet(cfg mconn.Config, id handshake.Identity, log *slog.Logger) (*comet.Wire[*secretconn.Conn], error) {
	cfg.Logger = log
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return comet.New(comet.Config[*secretconn.Conn]{
		Identity: id,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte, check func(handshake.PublicKey) error) (*secretconn.Conn, error) {
			return secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
		},
		Mux: func(conn *secretconn.Conn, channels []muxer.Channel) (muxer.Session, error) {
			return mconn.New(conn, channels, cfg)
		},
	})
}

// libp2pConfig are the settings of [wires.libp2p]; a zero field means its default.
type libp2pConfig struct {
	CloseGrace, Negotiation time.Duration
	MaxPartial              int
}

// Validate says which setting is impossible.
func (c libp2pConfig) Validate() error {
	if c.CloseGrace < 0 || c.Negotiation < 0 || c.MaxPartial < 0 {
		return errors.New("close_grace, negotiation and max_partial cannot be negative (0 means the default)")
	}
	return nil
}

// newLibp2p builds libp2p's wire from the securities and muxers that [stack] names.
func newLibp2p(cfg libp2pConfig, env modules.WireEnv) (*libp2p.Wire, error) {
	return libp2p.New(libp2p.Config{
		Identity: env.Identity, Securities: env.Securities, Muxers: env.Muxers, Logger: env.Logger,
		Lanes: muxer.LanesConfig{CloseGrace: cfg.CloseGrace, Negotiation: cfg.Negotiation, MaxPartial: cfg.MaxPartial},
	})
}

func newYamux(cfg yamux.Config, log *slog.Logger) (*yamux.Muxer, error) {
	cfg.Logger = log
	return yamux.New(cfg)
}

func newEcho(cfg echo.Config, h *host.Host, log *slog.Logger) (*echo.Service, error) {
	s, err := echo.New(cfg, h.OpenChannel, log)
	if err != nil {
		return nil, err
	}
	return s, s.HandleStreams(h.HandleStream)
}

// version is set by the linker in release builds (-X main.version=v1.2.3).
var version string

// versionText is the version of this binary: the linker's, else the module's, else that of the source it was built from.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
