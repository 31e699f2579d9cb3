package cli

import (
	"encoding/base64"

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
			key, err := h.public(cmd.Context())
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
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}
