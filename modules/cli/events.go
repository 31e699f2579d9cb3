package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

func (p running) eventsCommand() *cobra.Command {
	var (
		h              = home{p: p.Program}
		asJSON, follow bool
		since          string
	)
	cmd := &cobra.Command{
		Use: "events", Short: "Show what has happened at the running node", Args: takes(),
		Long: "Show the latest events of the running node (512 at most): peers that came and went, dials that " +
			"failed,\n" +
			"refusals, bans. --follow goes on with what happens, until Ctrl-C. --since begins after an event, by " +
			"its\n" +
			"number, or a time ago, such as 10m. --json prints an object in a line for each event.",
		RunE: func(cmd *cobra.Command, args []string) error {
			number, after, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			show := func(e admin.Event) error {
				if e.Time.Before(after) {
					return nil
				}
				return printEvent(out, &e, asJSON)
			}
			if follow {
				err := c.EventsSince(cmd.Context(), number, nil, show)
				if cmd.Context().Err() != nil { // Ctrl-C
					return nil
				}
				return err
			}
			list, err := c.PastEvents(cmd.Context(), number)
			if err != nil {
				return err
			}
			for _, e := range list {
				if err := show(e); err != nil {
					return err
				}
			}
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until Ctrl-C")
	cmd.Flags().StringVar(&since, "since", "", "begin after this event's number, or so long ago (10m)")
	return cmd
}

// parseSince parses the number of an event, or a duration before now.
func parseSince(text string, now time.Time) (number uint64, after time.Time, err error) {
	if text == "" {
		return 0, after, nil
	}
	if number, err = strconv.ParseUint(text, 10, 64); err == nil {
		return number, after, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, after, usage("--since %q: want the number of an event, or a duration such as 10m", text)
	}
	return 0, now.Add(-d), nil
}

// printEvent prints an event in a line.
func printEvent(w io.Writer, e *admin.Event, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	_, err := fmt.Fprintf(w, "%6d  %s  %-11s  %s\n", e.Seq, e.Time.Local().Format(time.DateTime), e.Kind, clean(e.Text))
	return err
}

func (p running) waitingCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "waiting", Short: "List the peers that the running node does not dial for now", Args: takes(),
		Long: "List the peers that the running node does not dial for now, soonest first (1000 at most): those that\n" +
			"failed, and those in quarantine, with the reason. clear ends the wait of one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.client()
			if err != nil {
				return err
			}
			list, err := c.Waiting(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, list)
			}
			if len(list) == 0 {
				_, err = fmt.Fprintln(out, "no peer waits")
				return err
			}
			t := table{heads: []string{"ID", "KIND", ">FOR", ">FAILS", "CODE", "ADDRESS", "WHY"}}
			for _, w := range list {
				t.add(string(w.NodeID), w.Kind, span(time.Until(w.Until)), fmt.Sprint(w.Failures), w.Code,
					bare(w.Address), w.Reason)
			}
			t.print(out)
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p running) clearCommand() *cobra.Command {
	return p.onePeer("clear", "Let the running node dial a peer again at once",
		"End the backoff and the quarantine of a peer, so that the running node may dial it at once. waiting "+
			"lists them.",
		"may be dialed again:", (*admin.Client).Clear, values(p).waiting)
}

func (p running) forgetCommand() *cobra.Command {
	return p.onePeer("forget", "Remove a peer from the running node's store",
		"Remove a peer and its addresses from the running node's store. Others may tell of it again: ban keeps it "+
			"away.\n"+
			"A peer that is linked, protected or configured is not forgotten.",
		"forgot", (*admin.Client).Forget, values(p).known)
}
