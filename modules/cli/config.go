package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
)

func (p *Program) configCommand() *cobra.Command {
	var (
		h                          = home{p: p}
		effective, running, asJSON bool
	)
	cmd := &cobra.Command{
		Use: "config [KEY]", Short: "Show the configuration, and where each value comes from",
		Args: atMost(1, "KEY"),
		Long: "Print the configuration as a file, with the environment and --set over it.\n\n" +
			"--effective lists every key with the value that a node would work with, and where it comes from: " +
			"default,\n" +
			"file, env or flag. Defaults are those of this machine. With a KEY, such as peers or " +
			"peers.max_outbound,\n" +
			"only that one and those below it. --running asks the running node instead. Passwords are left out.",
		ValidArgsFunction: values{p}.keyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			key := strings.Join(args, "")
			out := cmd.OutOrStdout()
			if !effective && !running && !asJSON && key == "" {
				cfg, err := h.config()
				if err != nil {
					return err
				}
				_, err = out.Write(modules.Render(cfg, p.Plugins...))
				return err
			}
			settings, err := h.effective(cmd, running)
			if err != nil {
				return err
			}
			if settings = below(settings, key); len(settings) == 0 {
				return usage("config: no key %q; %s config --effective lists all", key, cmd.Root().Name())
			}
			if asJSON {
				return printJSON(out, settings)
			}
			t := table{heads: []string{"KEY", "VALUE", "FROM", "WHERE", "RELOAD"}}
			for _, s := range settings {
				live := ""
				if s.Live {
					live = "live"
				}
				t.add(s.Key, valueText(s.Value), s.From, s.Where, live)
			}
			t.print(out)
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&effective, "effective", false, "list every key: its value, and where that comes from")
	cmd.Flags().BoolVar(&running, "running", false, "ask the running node")
	return cmd
}

// effective returns the configuration of the folder, or of the node that runs.
func (h *home) effective(cmd *cobra.Command, running bool) ([]admin.Setting, error) {
	if running {
		c, err := h.client()
		if err != nil {
			return nil, err
		}
		return c.Config(cmd.Context())
	}
	cfg, err := h.config()
	if err != nil {
		return nil, err
	}
	return cfg.Effective(h.p.Plugins...), nil
}

// below returns a key and those below it; all for "".
func below(settings []admin.Setting, key string) []admin.Setting {
	var out []admin.Setting
	for _, s := range settings {
		if key == "" || s.Key == key || strings.HasPrefix(s.Key, key+".") {
			out = append(out, s)
		}
	}
	return out
}

// valueText returns a value in one line.
func valueText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func (p running) reloadCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "reload", Short: "Make the running node read its configuration again", Args: takes(),
		Long: "Make the running node read its configuration again, as SIGHUP does. Keys that can change while it " +
			"runs\n" +
			"are applied; those that need a restart are named. A mistake changes nothing. The node reads its file " +
			"and\n" +
			"its own environment and --set again, not those of this command.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.client()
			if err != nil {
				return err
			}
			r, err := c.Reload(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			if len(r.Applied)+len(r.Restart) == 0 {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing has changed")
				return err
			}
			pairs := [][2]string{}
			if len(r.Applied) > 0 {
				pairs = append(pairs, [2]string{"applied", strings.Join(r.Applied, " ")})
			}
			if len(r.Restart) > 0 {
				pairs = append(pairs, [2]string{"needs a restart", strings.Join(r.Restart, " ")})
			}
			printPairs(cmd.OutOrStdout(), pairs)
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}
