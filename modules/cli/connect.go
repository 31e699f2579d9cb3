package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/transport"
)

func (p running) connectCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "connect ADDRESS", Short: "Make the running node connect to a peer", Args: takes("ADDRESS"),
		Long: "Make the running node connect to a peer now, even if all its slots are full, and wait until the " +
			"link is\n" +
			"up. ADDRESS names the peer: id@host:port, .../mconn/ID or .../p2p/ID. Use protect to keep it linked, " +
			"and\n" +
			"dial to try an address without a node.",
		ValidArgsFunction: values(p).addresses,
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := namedAddress(args[0])
			if err != nil {
				return err
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			late := fmt.Errorf("no link with %s within %v; --timeout allows more", addr, h.timeout)
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), h.timeout, late)
			defer cancel()
			peer, err := c.Dial(ctx, addr.String())
			if err != nil {
				if errors.Is(context.Cause(ctx), late) {
					return late
				}
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), peer)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "connected to %s %s over %s\n", peer.NodeID,
				clean(cmp.Or(peer.Moniker, peer.Version)),
				strings.Join([]string{peer.Wire, peer.Transport, peer.Security, peer.Muxer}, "/"))
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p running) disconnectCommand() *cobra.Command {
	return p.onePeer("disconnect", "End the running node's link to a peer",
		"End the running node's link to a peer. A persistent peer is dialed again, and others may be, too: ban "+
			"keeps a\n"+
			"peer away.",
		"disconnected", (*admin.Client).Disconnect, values(p).peers)
}

// onePeer returns a command that does one thing to a peer, and says done then.
func (p running) onePeer(name, short, long, done string,
	act func(*admin.Client, context.Context, transport.NodeID) error, suggest completer) *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: name + " ID", Short: short, Long: long, Args: takes("ID"), ValidArgsFunction: suggest,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := transport.ParseNodeID(args[0])
			if err != nil {
				return usage("%w", err)
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			if err := act(c, cmd.Context(), id); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"node_id": string(id)})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), done, id)
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// namedAddress parses an address that names its node.
func namedAddress(text string) (transport.Address, error) {
	a, err := transport.ParseAddress(text)
	switch {
	case err != nil:
		return a, usage("%w", err)
	case a.ID() == "":
		return a, usage("%s names no node: want id@host:port, .../mconn/ID or .../p2p/ID", a)
	}
	return a, nil
}
