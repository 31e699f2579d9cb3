package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/transfer"
)

func (p *Program) storeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "List, export and import the peers that a node knows", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		}}
	cmd.AddCommand(p.listCommand(), p.exportCommand(), p.importCommand())
	return cmd
}

func (p *Program) listCommand() *cobra.Command {
	var (
		h      = home{p: p}
		asJSON bool
		limit  int
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List the peers that the running node knows, best ranked first", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			const most = 10_000 // of the admin API
			if limit < 1 || limit > most {
				return usage("--limit %d: want 1 to %d", limit, most)
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			known, err := c.Store(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), known)
			}
			printKnown(cmd.OutOrStdout(), known, time.Now())
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many peers, at most")
	return cmd
}

// printKnown prints a line for each address of known peers.
func printKnown(out io.Writer, known []admin.KnownPeer, now time.Time) {
	if len(known) == 0 {
		fmt.Fprintln(out, "no peers are known")
		return
	}
	ago := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return span(now.Sub(at)) + " ago"
	}
	t := table{heads: []string{"ID", "KIND", ">SCORE", ">FAILS", ">WORKED", ">HEARD", "SOURCE", "ADDRESS", "NOTE"}}
	for _, k := range known {
		kind := "new"
		if k.Tried {
			kind = "tried"
		}
		for _, role := range []struct {
			is   bool
			mark string
		}{{k.Trusted, "*"}, {k.Unconditional, "u"}, {k.Private, "p"}} {
			if role.is {
				kind += role.mark
			}
		}
		note := ""
		if k.Quarantined.After(now) {
			note = "quarantined for " + span(k.Quarantined.Sub(now)) + ": " + k.QuarantineReason
		}
		for _, a := range k.Addresses {
			t.add(k.NodeID.Short(), kind, fmt.Sprint(k.Score), fmt.Sprint(a.Failures), ago(a.LastSuccess),
				ago(a.LastHeard), a.Source, bare(a.Address), orElse(note, a.LastError))
		}
		if len(k.Addresses) == 0 {
			t.add(k.NodeID.Short(), kind, fmt.Sprint(k.Score), "-", "-", "-", "-", "-", note)
		}
	}
	t.print(out)
	fmt.Fprintf(out, "\n* trusted, u unconditional, p private\n")
}

func (p *Program) exportCommand() *cobra.Command {
	var (
		h    = home{p: p}
		file string

		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "export", Short: "Write all known peers and bans as JSON", Args: takes(),
		Long: "Write all known peers and bans as JSON, to standard output or to a file.\n" +
			"The node must be stopped: only one process can open its store.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.withStore(func(s peerstore.Store) error {
				out := cmd.OutOrStdout()
				if file == "" { // it is JSON anyhow
					return transfer.Export(out, s, time.Now())
				}
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
				if err != nil {
					return err
				}
				w := bufio.NewWriterSize(f, 1<<20)
				if err := errors.Join(transfer.Export(w, s, time.Now()), w.Flush(), f.Close()); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				st := s.Stats()
				if asJSON {
					return printJSON(out, map[string]any{"file": file, "peers": st.Known, "bans": st.Banned})
				}
				_, err = fmt.Fprintf(out, "wrote %d peers and %d bans to %s\n", st.Known, st.Banned, file)
				return err
			})
		},
	}
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVarP(&file, "output", "o", "", "a file to write (default: standard output)")
	return cmd
}

func (p *Program) importCommand() *cobra.Command {
	var (
		h      = home{p: p}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Learn the peers of an exported file, or of CometBFT's addrbook.json",
		Args: takes("FILE|-"),
		Long: "Learn the peers of a file that store export wrote, or of CometBFT's addrbook.json; - reads standard\n" +
			"input. The node must be stopped. The store's limits hold: peers.max_known, and a share for each\n" +
			"network and each reporting peer. A new peer may replace a known one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := io.Reader(cmd.InOrStdin())
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			return h.withStore(func(s peerstore.Store) error {
				n, err := transfer.Import(in, s, time.Now())
				if err == nil {
					err = s.Flush(cmd.Context())
				}
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), map[string]int{"peers": n.Peers, "addresses": n.Addresses,
						"bans": n.Bans, "refused": n.Refused, "unreadable": n.Bad, "known": s.Stats().Known})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(),
					"learned %d peers with %d addresses, and %d bans; %d refused (known already, or no room by the "+
						"store's rules), %d unreadable; %d peers are known now\n",
					n.Peers, n.Addresses, n.Bans, n.Refused, n.Bad, s.Stats().Known)
				return err
			})
		},
	}
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// withStore opens the store of a stopped node.
func (h *home) withStore(use func(peerstore.Store) error) error {
	cfg, err := h.config()
	if err != nil {
		return err
	}
	if cfg.Store.Path == "" {
		return usage("store.path is empty in %s: this node keeps its peers in memory only", cfg.Home)
	}
	s, err := modules.OpenStore(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(running) }() // writes behind
	err = use(s)
	stop()
	return errors.Join(err, <-done, s.Close())
}
