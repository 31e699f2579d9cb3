package cli

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/spf13/cobra"
)

func (p *Program) idCommand() *cobra.Command {
	var (
		h      = home{p: p}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "id", Short: "Print the node's id in both forms", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), h.timeout)
			defer cancel()
			key, err := h.public(ctx)
			if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
				return fmt.Errorf("%w (--timeout %v)", err, h.timeout)
			}
			if err != nil {
				return err
			}
			public := base64.StdEncoding.EncodeToString(key.Raw())
			if asJSON {
				return printJSON(cmd.OutOrStdout(), struct {
					NodeID    string `json:"node_id"`
					PeerID    string `json:"peer_id"`
					PublicKey string `json:"public_key"`
				}{string(key.NodeID()), key.PeerID(), public})
			}
			printPairs(cmd.OutOrStdout(),
				[][2]string{{"node id", string(key.NodeID())}, {"peer id", key.PeerID()}, {"public key", public}})
			return nil
		},
	}
	h.callFlags(cmd)
	cmd.Flags().Lookup("timeout").Usage = "how long a signer may take to answer"
	jsonFlag(cmd, &asJSON)
	return cmd
}
