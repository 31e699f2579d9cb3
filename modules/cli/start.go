package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
)

func (p *Program) startCommand() *cobra.Command {
	var (
		h             = home{p: p}
		format, level string
	)
	cmd := &cobra.Command{
		Use: "start", Short: "Run the node until Ctrl-C", Args: takes(),
		Long: "Run the node until Ctrl-C (SIGINT), SIGTERM or SIGHUP, which stop it cleanly; a second signal exits " +
			"at once.\nThe log goes to standard output.",
		RunE: func(cmd *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGPIPE) // the node outlives the reader of its log
			log, err := newLogger(cmd.OutOrStdout(), format, level)
			if err != nil {
				return err
			}
			cfg, err := h.config()
			if err != nil {
				return err
			}
			return p.runNode(cmd.Context(), cfg, log)
		},
	}
	h.flags(cmd)
	cmd.Flags().StringVar(&format, "log-format", "text", "text or json")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (p *Program) runNode(ctx context.Context, cfg modules.Config, log *slog.Logger) error {
	err := modules.Run(ctx, modules.Node(cfg, p.Plugins...), fx.Supply(log),
		fx.Invoke(func(lc fx.Lifecycle, h *host.Host, in struct {
			fx.In
			Admin *admin.Server `optional:"true"`
		}) {
			lc.Append(fx.Hook{
				OnStart: func(context.Context) error {
					listen := make([]string, 0, 1)
					for _, a := range h.ListenAddrs() {
						listen = append(listen, a.String())
					}
					api, page := "off", ""
					if in.Admin != nil {
						api, page = in.Admin.Addr().String(), in.Admin.URL()
					}
					if os.Getenv("JOURNAL_STREAM") != "" { // others may read a journal, and it is kept
						page, _, _ = strings.Cut(page, "#")
					}
					log.Info("ready", slog.String("node_id", string(h.Self())),
						slog.String("peer_id", h.PublicKey().PeerID()), slog.String("network", cfg.Network),
						slog.Any("listen", listen), slog.String("admin", api), slog.String("page", page),
						slog.String("home", cfg.Home))
					return nil
				},
				OnStop: func(context.Context) error {
					log.Info("stopping")
					return nil
				},
			})
		}))
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// newLogger returns the logger of --log-format and --log-level.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	l, ok := levels[strings.ToLower(level)]
	if !ok {
		return nil, usage("--log-level %q: want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, usage("--log-format %q: want text or json", format)
}
