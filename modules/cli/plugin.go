package cli

import (
	"cmp"
	"flag"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules"
)

// pluginCommand returns the command of a plug-in.
func (p *Program) pluginCommand(spec modules.CommandSpec) *cobra.Command {
	if len(spec.Commands) > 0 {
		return p.pluginGroup(spec)
	}
	h := home{p: p}
	cmd := &cobra.Command{
		Use:   strings.Join(append([]string{spec.Name}, spec.Args...), " "),
		Short: spec.Short, Long: cmp.Or(spec.Long, spec.Short),
		Args: takes(spec.Args...),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := h.config()
			if err != nil {
				return err
			}
			return spec.Run(cmd.Context(), modules.Call{
				Args: args, Config: cfg, Client: h.client, In: cmd.InOrStdin(), Out: cmd.OutOrStdout(),
				Version: p.Version,
			})
		},
	}
	own := flag.NewFlagSet(spec.Name, flag.ContinueOnError)
	if spec.Flags != nil {
		spec.Flags(own)
	}
	if own.Lookup("timeout") == nil {
		h.callFlags(cmd)
	} else { // the plug-in means something by it
		h.flags(cmd)
	}
	cmd.Flags().AddGoFlagSet(own)
	return cmd
}

// pluginGroup returns a command that has commands below it.
func (p *Program) pluginGroup(spec modules.CommandSpec) *cobra.Command {
	cmd := &cobra.Command{
		Use: spec.Name, Short: spec.Short, Long: cmp.Or(spec.Long, spec.Short),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage("unknown command %q; %s help %s lists the commands",
				cmd.CommandPath()+" "+args[0], p.Name, spec.Name)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, below := range spec.Commands {
		cmd.AddCommand(p.pluginCommand(below))
	}
	return cmd
}
