package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/dig"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/modules"
)

// checked is what check --json prints.
type checked struct {
	OK       bool     `json:"ok"`
	File     string   `json:"file"`
	Error    string   `json:"error,omitempty"`
	Key      string   `json:"key,omitempty"`   // that is wrong
	Where    string   `json:"where,omitempty"` // it was given
	Warnings []string `json:"warnings"`
}

func (p *Program) checkCommand() *cobra.Command {
	var (
		h      = home{p: p}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "check", Short: "Check the configuration and the key, without starting anything", Args: takes(),
		Long: "Check the configuration, with the environment and --set over it, and the files that it names, as a\n" +
			"start does. Nothing is started, and no port is opened. Exit code 1 if the node would not start.",
		RunE: func(cmd *cobra.Command, args []string) error {
			out := checked{Warnings: []string{}}
			dir, err := h.folder()
			if err != nil {
				return err
			}
			out.File = filepath.Join(dir, configName)
			cfg, err := h.config()
			if err == nil {
				out.Warnings, err = p.checkFiles(&cfg)
			}
			out.OK = err == nil
			if err != nil {
				out.Error = message(err)
			}
			var ce *modules.ConfigError
			if errors.As(err, &ce) {
				out.Key, out.Where = ce.Key, ce.Where
			}
			if asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), out), err)
			}
			for _, w := range out.Warnings {
				fmt.Fprintln(cmd.OutOrStdout(), "warning:", clean(w))
			}
			if err == nil {
				fitted := cfg.Fit(p.Plugins...)
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %s: network %s, listens on %s\n", out.File, cfg.Network,
					orElse(strings.Join(fitted.Listen.Addresses, " "), "nothing"))
			}
			return err
		},
	}
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkFiles checks what a start reads beside the configuration: the key, the AS map, and whether the stack serves the
// addresses.
func (p *Program) checkFiles(cfg *modules.Config) (warnings []string, err error) {
	warnings = modules.UnknownEnviron(p.envPrefix(), os.Environ(), p.Plugins...)
	key, err := handshake.GenerateNodeKey() // in place of one that is not made yet, or in a signer
	if err != nil {
		return warnings, err
	}
	if cfg.Identity.Signer == "" {
		if err := cfg.CheckKey(); err != nil {
			return warnings, err
		}
		path := cfg.Path(cfg.Identity.Key)
		own, err := handshake.LoadNodeKey(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			warnings = append(warnings, "there is no "+path+" yet: the first start makes it")
		case err != nil:
			return warnings, err
		default:
			key = own
			if w := own.Warning(); w != nil {
				warnings = append(warnings, w.Error())
			}
		}
	}
	if err := modules.CheckNode(*cfg, key, p.Plugins...); err != nil {
		return warnings, dig.RootCause(err)
	}
	return warnings, nil
}
