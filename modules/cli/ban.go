package cli

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

func (p running) banCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		period time.Duration
		reason string
		force  bool
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "ban TARGET", Short: "Ban a node id, an IP or a network (CIDR) at the running node",
		Args:              takes("ID|IP|CIDR"),
		ValidArgsFunction: values(p).peers,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := banTarget(args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("for") && period <= 0 {
				return usage("--for %v: want more than 0, or leave it out for ever", period)
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			ban := c.Ban
			if force {
				ban = c.ForceBan
			}
			made, err := ban(cmd.Context(), target, period, reason)
			if refused, ok := errors.AsType[*admin.APIError](err); ok && refused.Status == http.StatusConflict {
				return fmt.Errorf("%w (--force)", err)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), made)
			}
			until := "until it is lifted"
			if period > 0 {
				until = "for " + period.String()
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "banned", target, until)
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().DurationVar(&period, "for", 0, "how long, such as 24h (default: until it is lifted)")
	cmd.Flags().BoolVar(&force, "force", false,
		"also if it ends more than half of the links, or is wider than /8 (IPv6: /16)")
	cmd.Flags().StringVar(&reason, "reason", "", "a note for the log and the list of bans")
	return cmd
}

func (p running) unbanCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "unban TARGET", Short: "Lift a ban at the running node", Args: takes("ID|IP|CIDR"),
		ValidArgsFunction: values(p).bans,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := banTarget(args[0])
			if err != nil {
				return err
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			if err := c.Unban(cmd.Context(), target); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"target": target})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "unbanned", target)
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// banTarget checks a target, and returns its canonical form.
func banTarget(text string) (string, error) {
	t, err := peerstore.ParseTarget(text)
	if err != nil {
		return "", usage("%v", err)
	}
	return t.String(), nil
}
