package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p running) healthzCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "healthz", Short: "Tell whether the node runs and listens", Args: takes(),
		Long: "Print ok if the node runs and listens; else say why not, with exit code 1. For containers and monitors.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.client()
			if err == nil {
				err = c.Healthy(cmd.Context())
			}
			if asJSON {
				out := struct {
					OK    bool   `json:"ok"`
					Error string `json:"error,omitempty"`
				}{OK: err == nil}
				if err != nil {
					out.Error = message(err)
				}
				if printed := printJSON(cmd.OutOrStdout(), out); printed != nil {
					return printed
				}
				return err
			}
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok")
			}
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}
