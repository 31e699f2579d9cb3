package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (p running) statusCommand() *cobra.Command {
	var (
		h        = home{p: p.Program}
		asJSON   bool
		watching bool
		show     live.Output
	)
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the running node is doing", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watching {
				show.In, show.Out, show.JSON = cmd.InOrStdin(), cmd.OutOrStdout(), asJSON
				return h.watch(cmd.Context(), show, live.NewStatus(p.Name),
					func(s *admin.Snapshot) any { return s.Status })
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			pairs := [][2]string{{"node id", string(s.NodeID)}, {"peer id", s.PeerID}}
			pairs = append(append(pairs, verdict(s.Findings)...), [][2]string{
				{"moniker", s.Moniker},
				{"network", s.Network},
				{"version", s.Version},
				{"listens on", strings.Join(s.Listen, " ")},
			}...)
			for _, o := range s.Observed {
				pairs = append(pairs, [2]string{"seen at", clean(o.Address) + " by " + several(o.Peers, "peer")})
			}
			pairs = append(pairs, [][2]string{
				{"up", span(time.Duration(s.Uptime) * time.Second)},
				{"peers", fmt.Sprintf("%d outbound, %d inbound, %d trusted, %d guests", s.Peers.Outbound,
					s.Peers.Inbound, s.Peers.Trusted, s.Peers.Guests)},
				{"store", fmt.Sprintf("%d known (%d tried, %d new), %d banned, %d in quarantine", s.Store.Known,
					s.Store.Tried, s.Store.New, s.Store.Banned, s.Store.Quarantined)},
				{"goroutines", fmt.Sprint(s.Goroutines)},
			}...)
			printPairs(cmd.OutOrStdout(), pairs)
			printAway(cmd.OutOrStdout(), &s)
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	watchFlags(cmd, &watching, &show)
	return cmd
}

// mostFindings bounds the findings that status prints.
const mostFindings = 5

// verdict returns what status prints of a node's findings, which are sorted, the worst first.
func verdict(found []admin.Finding) (pairs [][2]string) {
	add := func(text string) {
		name := ""
		if len(pairs) == 0 {
			name = "health"
		}
		pairs = append(pairs, [2]string{name, text})
	}
	for i, f := range found {
		switch {
		case i == mostFindings:
			add(fmt.Sprintf("and %d more (--json has all)", len(found)-i))
			return pairs
		case f.Severity == host.GradeOK:
			add(f.Text)
		default:
			add(fmt.Sprintf("%s: %s (%s)", f.Severity, f.Text, f.Code))
		}
		if f.Remedy != "" {
			add("-> " + f.Remedy)
		}
	}
	return pairs
}

func (p running) peersCommand() *cobra.Command {
	var (
		h        = home{p: p.Program}
		asJSON   bool
		watching bool
		show     live.Output
	)
	cmd := &cobra.Command{
		Use: "peers", Short: "List the peers of the running node", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watching {
				show.In, show.Out, show.JSON = cmd.InOrStdin(), cmd.OutOrStdout(), asJSON
				return h.watch(cmd.Context(), show, live.NewPeers(p.Name),
					func(s *admin.Snapshot) any { return s.Peers })
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			peers, err := c.Peers(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, peers)
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if len(peers) == 0 {
				fmt.Fprintln(out, "no peers")
				printAway(out, &s)
				return nil
			}
			t := table{heads: []string{"ID", "DIR", "MONIKER", "LINK",
				">UP", ">SENT", ">RECEIVED", ">RTT", ">SCORE", "ADDRESS"}}
			for _, p := range peers {
				direction := map[string]string{admin.Inbound: "in", admin.Outbound: "out"}[p.Direction]
				if p.Trusted {
					direction += "*"
				}
				if p.Guest {
					direction += "g"
				}
				link := strings.Join([]string{p.Wire, p.Transport, p.Security, p.Muxer}, "/")
				t.add(p.NodeID.Short(), direction, cmp.Or(p.Moniker, p.Version), link, span(seconds(p.Connected)),
					size(p.Sent), size(p.Received), rtt(p.RTT), fmt.Sprint(p.Score), bare(p.Address))
			}
			t.print(out)
			plural := "s"
			if len(peers) == 1 {
				plural = ""
			}
			fmt.Fprintf(out, "\n%d peer%s; * trusted, g guest (a plain libp2p peer)\n", len(peers), plural)
			printAway(out, &s)
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	watchFlags(cmd, &watching, &show)
	return cmd
}

// bare returns an address without its node id, which has a column of its own.
func bare(address string) string {
	for _, name := range []string{"/mconn/", "/p2p/"} {
		if i := strings.LastIndex(address, name); i >= 0 {
			return address[:i]
		}
	}
	return address
}
