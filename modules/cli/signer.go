package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/signergrpc"
)

// nodeKeyName is the key file of a signer's folder, where --key names no other.
const nodeKeyName = "node_key.json"

func (p *Program) signerCommand() *cobra.Command {
	var (
		h            = home{p: p}
		address, key string
		allow        []string
		files        signergrpc.TLSFiles
		logging      logFlags
	)
	cmd := &cobra.Command{
		Use: "signer", Short: "Hold a node's key and sign for the node, until Ctrl-C", Args: takes(),
		Long: "Hold a node's key in a process of its own, and sign what the node needs for its handshakes and " +
			"nothing else.\nThe node has identity.signer = \"ADDRESS\" in its configuration. docs/signer.md says how " +
			"to set both up.\n\nThe key is the node_key.json of --home. The socket and its folder must be of this " +
			"user alone, and only this user can connect.\nOver tls:// both ends need certificates of one authority.",
		RunE: func(cmd *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGPIPE) // it outlives the reader of its log
			if err := logging.check(); err != nil {
				return err
			}
			log, _ := newLogger(cmd.OutOrStdout(), logging.format, logging.level)
			if address == "" {
				return usage("signer: --listen is missing: want --listen unix:///path/of/socket or tls://host:port")
			}
			at, err := signer.ParseAddress(address)
			if err != nil {
				return usage("--listen: %w", err)
			}
			if at.TLS() != (files != signergrpc.TLSFiles{}) {
				return usage("--listen %s: --tls-ca, --tls-cert and --tls-key belong to tls:// and to nothing else", at)
			}
			purposes, err := allowed(allow)
			if err != nil {
				return err
			}
			dir, err := h.folder()
			if err != nil {
				return err
			}
			for _, f := range []struct {
				flag string
				path *string
			}{{"--key", &key}, {"--tls-ca", &files.CA}, {"--tls-cert", &files.Cert}, {"--tls-key", &files.Key}} {
				if *f.path, err = modules.Credential(*f.path); err != nil {
					return usage("%s %w", f.flag, err)
				}
			}
			if !filepath.IsAbs(key) {
				key = filepath.Join(dir, key)
			}
			return p.runSigner(cmd.Context(), log, key, purposes, signergrpc.ServerConfig{Address: at, TLS: files,
				Logger: log.With(slog.String("part", "signer"))})
		},
	}
	h.homeFlag(cmd)
	flags := cmd.Flags()
	flags.Lookup("home").Usage = "the folder with the node key (default ~/." + p.Name + ")"
	flags.StringVar(&address, "listen", "", "where to listen: unix:///path/of/socket or tls://host:port")
	flags.StringVar(&key, "key", nodeKeyName, "the node key file, relative to --home, or credential:NAME")
	flags.StringArrayVar(&allow, "allow", nil, "sign these too: pubsub (repeatable)")
	flags.StringVar(&files.CA, "tls-ca", "", "the authority that has signed the node's certificate (PEM)")
	flags.StringVar(&files.Cert, "tls-cert", "", "our certificate (PEM)")
	flags.StringVar(&files.Key, "tls-key", "", "and its key (PEM)")
	logging.add(cmd, "text", "info", "")
	return cmd
}

// allowed returns what a signer signs, with the additions of --allow.
func allowed(list []string) ([]handshake.Purpose, error) {
	purposes := signer.Default()
	for _, a := range list {
		for name := range strings.SplitSeq(a, ",") {
			if strings.TrimSpace(name) != "pubsub" {
				return nil, usage("--allow %.40q: want pubsub; everything else on the list is always allowed", name)
			}
			purposes = append(purposes, handshake.SignPubsub)
		}
	}
	return purposes, nil
}

// runSigner serves the key until ctx ends.
func (p *Program) runSigner(ctx context.Context, log *slog.Logger, path string, purposes []handshake.Purpose,
	cfg signergrpc.ServerConfig) error {
	if err := hideMemory(); err != nil {
		log.Warn("other processes of this user may read this one's memory", slog.String("error", err.Error()))
	}
	key, err := handshake.LoadNodeKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; put the node's key there, or make one with %s init --home %s", err, p.Name,
			filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	if w := key.Warning(); w != nil {
		log.Warn(w.Error())
	}
	if cfg.Keeper, err = signer.NewKeeper(ctx, key, purposes...); err != nil {
		return err
	}
	server, err := signergrpc.Listen(cfg)
	if err != nil {
		return err
	}
	at := cfg.Address.String()
	if cfg.Address.TLS() { // the port may have been 0
		at = "tls://" + server.Addr().String()
	}
	var names []string
	for _, p := range purposes {
		names = append(names, p.String())
	}
	log.Info("ready", slog.String("listen", at), slog.String("node_id", string(key.ID())),
		slog.String("peer_id", key.Public().PeerID()), slog.String("signs", strings.Join(names, ", ")))
	err = server.Run(ctx)
	var signed, refused uint64
	counts := cfg.Keeper.Counts()
	for _, n := range counts.Signed {
		signed += n
	}
	for _, n := range counts.Refused {
		refused += n
	}
	strangers, crowded := server.Strangers()
	log.Info("stopped", slog.Uint64("signed", signed), slog.Uint64("refused", refused),
		slog.Uint64("strangers", strangers), slog.Uint64("crowded", crowded))
	return err
}
