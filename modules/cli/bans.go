package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (p running) bansCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "bans", Short: "List what the running node has banned", Args: takes(),
		Long: "List the node ids, IP addresses and networks that the running node has banned: those of ban, and " +
			"those\n" +
			"for misdeeds.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.client()
			if err != nil {
				return err
			}
			bans, err := c.Bans(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, bans)
			}
			if len(bans) == 0 {
				_, err = fmt.Fprintln(out, "no bans")
				return err
			}
			t := table{heads: []string{"TARGET", ">SINCE", ">FOR", "REASON"}}
			now := time.Now()
			for _, b := range bans {
				left := "ever"
				if !b.Until.IsZero() {
					left = span(b.Until.Sub(now))
				}
				since := "-"
				if !b.Since.IsZero() {
					since = span(now.Sub(b.Since)) + " ago"
				}
				t.add(b.Target, since, left, orElse(b.Reason, "-"))
			}
			t.print(out)
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}
