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
