package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/transport"
)

func (p running) protectCommand() *cobra.Command {
	var (
		h    = home{p: p.Program}
		role admin.Role
		off  bool

		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "protect PEER", Short: "Make a peer of the running node trusted, unconditional or private",
		Long: "Make a peer of the running node trusted (the default), unconditional or private, also after " +
			"restarts.\nPEER is a node id, or an address that names one. The flags together are the peer's role; " +
			"--off takes it back.\nAt a start the configuration decides on the peers that it names.",
		Args:              takes("ID|ADDRESS"),
		ValidArgsFunction: values(p).peers,
		RunE: func(cmd *cobra.Command, args []string) error {
			given := role.Trusted || role.Unconditional || role.Private
			if off && given {
				return usage("--off takes all of a peer's role back; leave the other flags out")
			}
			id, err := transport.ParseNodeID(args[0])
			if err != nil {
				a, err := transport.ParseAddress(args[0])
				if err != nil {
					return usage("%w", err)
				}
				if id = a.ID(); id == "" {
					return usage("%s names no node: want id@host:port, .../mconn/ID or .../p2p/ID", a)
				}
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			if off {
				if err := c.Unprotect(cmd.Context(), id); err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), admin.Role{Peer: string(id)})
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "no longer protected:", id)
				return err
			}
			role.Peer, role.Trusted = args[0], role.Trusted || !given
			made, err := c.Protect(cmd.Context(), role)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), made)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "protected", id)
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&role.Trusted, "trusted", false, "always redialed, and refused by no limit")
	cmd.Flags().BoolVar(&role.Unconditional, "unconditional", false, "refused by no limit")
	cmd.Flags().BoolVar(&role.Private, "private", false, "never told to others")
	cmd.Flags().BoolVar(&off, "off", false, "take the role back")
	return cmd
}
