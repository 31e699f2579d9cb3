package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/modules"
)

func (p *Program) initCommand() *cobra.Command {
	var (
		h                = home{p: p}
		network, moniker string
		listen           []string
		asJSON           bool
	)
	cmd := &cobra.Command{
		Use: "init", Short: "Make the folder of a node: config.toml and node_key.json", Args: takes(),
		Long: "Make the folder of a node: config.toml and node_key.json.\n\n" +
			"A key that is already there is kept, so you can put the node_key.json of a CometBFT node there first.\n" +
			"A configuration that is already there is kept, too; then no flag may ask for another one.\n" +
			"Variables " + p.envPrefix() + "_SECTION_KEY are written into a new configuration; flags come before them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg := modules.Default()
			// Other variables of ours may be set that are wrong for a node; they do no harm to what is there already.
			environ, err := cfg.SetEnviron(p.envPrefix(), os.Environ(), p.Plugins...)
			if err != nil {
				return &modules.UsageError{Err: err}
			}
			// The flags set keys, so that mistakes in both are reported alike.
			flags := cmd.Flags()
			if flags.Changed("network") {
				cfg.Network = network
			}
			if flags.Changed("moniker") {
				cfg.Moniker = moniker
			}
			if flags.Changed("listen") {
				cfg.Listen.Addresses = listen
			}
			for _, s := range h.sets {
				if err := cfg.Set(s); err != nil {
					return err
				}
			}
			if err := cfg.Validate(p.Plugins...); err != nil {
				return &modules.UsageError{Err: err}
			}
			dir, err := h.folder()
			if err != nil {
				return err
			}
			cfg.Home = dir
			asked := flags.Changed("network") || flags.Changed("moniker") || flags.Changed("listen") ||
				flags.Changed("set")
			return p.makeHome(cmd, cfg, environ, asked, asJSON)
		},
	}
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&network, "network", "", "the network's name (default \"switchyard\")")
	complete(cmd, "network", values{p}.networks)
	cmd.Flags().StringVar(&moniker, "moniker", "", "the name that peers see (default \"switchyard\")")
	cmd.Flags().StringArrayVar(&listen, "listen", nil,
		"multiaddr to listen on, such as /ip4/0.0.0.0/tcp/26656 (repeatable)")
	cmd.Flags().Lookup("set").Usage = "write a configuration key: KEY=VALUE (repeatable)"
	return cmd
}

// makeHome writes the missing files of a node's folder. asked reports whether the call asks for a certain
// configuration; environ are the variables that are in it.
func (p *Program) makeHome(cmd *cobra.Command, cfg modules.Config, environ []string, asked, asJSON bool) error {
	file := filepath.Join(cfg.Home, configName)
	if _, err := os.Stat(file); err == nil {
		if asked {
			return fmt.Errorf("%s is already there and stays as it is: edit it, or remove it first", file)
		}
		// The file counts, not the defaults.
		if cfg, err = modules.Load(file, nil, p.Plugins...); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	} else {
		if err := os.MkdirAll(cfg.Home, 0o700); err != nil {
			return err
		}
		if err := writeNew(file, modules.Render(cfg, p.Plugins...)); err != nil {
			return err
		}
		if len(environ) > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s has the values of %s\n", p.Name, file, strings.Join(environ, ", "))
		}
		for _, line := range modules.UnknownEnviron(p.envPrefix(), os.Environ(), p.Plugins...) {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", p.Name, line)
		}
	}

	next := p.Name + " start"
	if flags := cmd.Flags(); flags.Changed("home") {
		next += " --home " + flags.Lookup("home").Value.String()
	}
	made := madeHome{Config: file, Network: cfg.Network}
	if at := cfg.Identity.Signer; at != "" {
		if made.Key = at; asJSON {
			return printJSON(cmd.OutOrStdout(), made)
		}
		printPairs(cmd.OutOrStdout(), [][2]string{
			{"config", file}, {"key", "in the signer at " + at}, {"network", cfg.Network}, {"start it", next},
		})
		return nil
	}
	if cfg.CheckKey() != nil { // a credential is there when the service runs, and nobody makes it
		if made.Key = cfg.Identity.Key; asJSON {
			return printJSON(cmd.OutOrStdout(), made)
		}
		printPairs(cmd.OutOrStdout(), [][2]string{
			{"config", file}, {"key", made.Key + " of the service"}, {"network", cfg.Network}, {"start it", next},
		})
		return nil
	}
	path := cfg.Path(cfg.Identity.Key)
	key, fresh, err := stock.NodeKey(path)
	if err != nil {
		return err
	}
	keyFile := path
	if fresh {
		keyFile += " (new)"
	}
	if w := key.Warning(); w != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", p.Name, message(w))
	}
	if asJSON {
		made.Key, made.NodeID, made.PeerID = path, string(key.ID()), key.Public().PeerID()
		return printJSON(cmd.OutOrStdout(), made)
	}
	printPairs(cmd.OutOrStdout(), [][2]string{
		{"config", file}, {"key", keyFile}, {"node id", string(key.ID())}, {"peer id", key.Public().PeerID()},
		{"network", cfg.Network}, {"start it", next},
	})
	return nil
}

// madeHome is what init --json prints.
type madeHome struct {
	Config  string `json:"config"`
	Key     string `json:"key"` // the file, or the address of the signer
	NodeID  string `json:"node_id,omitempty"`
	PeerID  string `json:"peer_id,omitempty"`
	Network string `json:"network"`
}

// writeNew writes a new file, completely or not at all.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}
