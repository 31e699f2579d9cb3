// Command switchyard runs and looks after a Switchyard node. `switchyard help` lists its commands; docs/cli.md describes them.
package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"runtime/debug"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/discovery/static"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// plugins is what this binary can do. To add a plug-in, add a line; see docs/plugins.md.
func plugins() []modules.Plugin {
	return []modules.Plugin{
		modules.Transport("tcp", zero[tcp.Config], newTCP),
		modules.Wire("comet", zero[mconn.Config], newComet),
		modules.Discovery("pex", pex.Default, pex.New),
		modules.Discovery("static", static.Default, static.New),
		modules.Service("echo", zero[echo.Config], newEcho),
	}
}

// zero is the defaults of a Config whose zero value has them.
func zero[C any]() (c C) { return c }

func newTCP(cfg tcp.Config) (*tcp.Transport, error) { return tcp.New(cfg), nil }

// newComet builds CometBFT's wire from its parts: SecretConnection and MConnection. [wires.comet] holds the settings of the latter.
func newComet(cfg mconn.Config, id handshake.Identity, log *slog.Logger) (*comet.Wire[*secretconn.Conn], error) {
	cfg.Logger = log
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

func newEcho(cfg echo.Config, h *host.Host, log *slog.Logger) (*echo.Service, error) {
	return echo.New(cfg, h.OpenChannel, log)
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
