// Package reset makes CometBFT's unsafe-reset-all treat Switchyard's peers as it treats addrbook.json.
package reset

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/cmd/cometbft/commands"
	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules/cometbft"
)

// Peers changes CometBFT's unsafe-reset-all. The command deletes the data folder, and with it Switchyard's peers. Now
// it keeps them with --keep-addr-book; without it, peers elsewhere stay, and it says so.
func Peers(cmd *cobra.Command) {
	stock := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := commands.ParseConfig(cmd)
		if err != nil {
			return err
		}
		store, err := cometbft.StorePath(cfg)
		if err != nil {
			return err
		}
		keep, err := cmd.Flags().GetBool("keep-addr-book")
		if err != nil {
			return err
		}
		data, err := filepath.Abs(cfg.DBDir())
		if err != nil {
			return err
		}
		within := store != "" && inside(data, store)
		if keep && within {
			return aside(store, data, func() error { return stock(cmd, args) })
		}
		if _, err := os.Stat(store); err == nil && !keep && !within {
			fmt.Fprintf(cmd.ErrOrStderr(), "Switchyard's peers in %s stay, as they are not in %s\n", store, data)
		}
		return stock(cmd, args)
	}
}

// inside reports whether a path is within a folder.
func inside(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// aside moves a store out of the data folder while reset runs. If the process dies meanwhile, the next call moves it
// back.
func aside(store, data string, reset func() error) error {
	safe := data + "-" + filepath.Base(store)
	if _, err := os.Stat(store); err == nil {
		if err := os.RemoveAll(safe); err != nil {
			return err
		}
		if err := os.Rename(store, safe); err != nil {
			return fmt.Errorf("cannot keep Switchyard's peers: %w", err)
		}
	}
	if _, err := os.Stat(safe); err != nil {
		return reset() // there are none
	}
	if err := reset(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(store), 0o700); err != nil {
		return err
	}
	return os.Rename(safe, store)
}
