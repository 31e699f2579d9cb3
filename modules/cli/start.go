package cli

import (
	"context"
	"errors"
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
		h       = home{p: p}
		logging logFlags
	)
	cmd := &cobra.Command{
		Use: "start", Short: "Run the node until Ctrl-C", Args: takes(),
		Long: "Run the node until Ctrl-C (SIGINT) or SIGTERM, which stop it cleanly; a second signal exits at once.\n" +
			"SIGHUP makes it read its configuration again, as reload does. SIGUSR1 logs what its goroutines do.\n" +
			"The log goes to standard output, in colour if that is a terminal.",
		RunE: func(cmd *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGPIPE) // the node outlives the reader of its log
			hangups := make(chan struct{}, 1)
			p.signals.onHangup(func() {
				select {
				case hangups <- struct{}{}:
				default: // one is waiting, and reads the same file
				}
			})
			if err := logging.check(); err != nil {
				return err
			}
			if logging.level != "" {
				h.sets = append(h.sets, "log.level="+logging.level)
			}
			if logging.format != "" {
				h.sets = append(h.sets, "log.format="+logging.format)
			}
			cfg, err := h.config()
			if err != nil {
				return err
			}
			log, leveled := newLogger(cmd.OutOrStdout(), cfg.Log.Format, cfg.Log.Level)
			for _, line := range modules.UnknownEnviron(p.envPrefix(), os.Environ(), p.Plugins...) {
				log.Warn(line)
			}
			p.signals.onDump(func() { logGoroutines(log) })
			return p.runNode(cmd.Context(), cfg, log, leveled, hangups, h.config)
		},
	}
	h.flags(cmd)
	logging.add(cmd, "", "", "; without it log.format and log.level of the configuration count")
	return cmd
}

func (p *Program) runNode(ctx context.Context, cfg modules.Config, log *slog.Logger, level *slog.LevelVar,
	hangups <-chan struct{}, load modules.Loader) error {
	manager := newNotifier(os.Getenv)
	passed := fx.Options()
	switch socket, err := passedSocket(); {
	case err != nil:
		return err
	case socket != nil && cfg.Admin.Address == "":
		_ = socket.Close()
		return errors.New("the service manager passed a socket for the admin API, and admin.address = \"\" turns " +
			"that off")
	case socket != nil:
		passed = fx.Supply(socket)
	}
	err := modules.Run(ctx, modules.Node(cfg, p.Plugins...), fx.Supply(log, level, load), passed,
		fx.Invoke(func(lc fx.Lifecycle, r *modules.Reloader) { reloadOn(lc, hangups, r, manager) }),
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
			manager.hooks(lc, func() { // takes the locks of the host and of its peer manager
				h.Peers()
				h.PeerManager().Tally()
			})
		}))
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// reloadOn reloads the configuration at each hangup while the node runs. The Reloader logs what comes of it.
func reloadOn(lc fx.Lifecycle, hangups <-chan struct{}, r *modules.Reloader, manager notifier) {
	over, ended := make(chan struct{}), make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(ended)
				for {
					select {
					case <-hangups:
						manager.reloading()
						_, _ = r.Reload()
						manager.ready()
					case <-over:
						return
					}
				}
			}()
			return nil
		},
		OnStop: func(context.Context) error {
			close(over)
			<-ended
			return nil
		},
	})
}
