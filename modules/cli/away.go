package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// printAway lists the trusted peers without a link, and the peers in quarantine.
func printAway(w io.Writer, s *admin.Status) {
	if len(s.Down) > 0 {
		fmt.Fprintf(w, "\n%d trusted and down:\n", s.Peers.Down)
		t := table{heads: []string{"ID", ">FAILURES", ">NEXT TRY", "ADDRESS", "WHY"}}
		for _, d := range s.Down {
			next, why := "now", d.LastError
			if !d.NextTry.IsZero() {
				next = span(time.Until(d.NextTry))
			}
			if d.Ban != nil {
				next, why = "-", strings.TrimSuffix("banned: "+d.Ban.Reason, ": ")
			}
			address := ""
			if len(d.Addresses) > 0 {
				address = bare(d.Addresses[0])
			}
			t.add(d.NodeID.Short(), fmt.Sprint(d.Failures), next, address, why)
		}
		t.print(w)
	}
	if len(s.Quarantined) > 0 {
		fmt.Fprintf(w, "\n%d in quarantine:\n", s.Store.Quarantined)
		t := table{heads: []string{"ID", ">FOR", "WHY"}}
		for _, q := range s.Quarantined {
			t.add(q.NodeID.Short(), span(time.Until(q.Until)), q.Reason)
		}
		t.print(w)
	}
}
