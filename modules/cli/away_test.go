package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// TestMissingPeers shows what status, peers and the metrics tell of a persistent peer that does not answer and of one
// of another network.
func TestMissingPeers(t *testing.T) {
	other := startNode(t, initHome(t, "--set", "network=other-net"))
	down := someID + "@" + programtest.FreeAddress(t)
	n := startNode(t, initHome(t, "--set", "peers.persistent="+down+","+other.address()))
	var s admin.Status
	eventually(t, "both peers have been tried", func() bool {
		s = admin.Status{}
		mustJSON(t, &s, n.ask("status", "--json")...)
		return s.Peers.Down == 2 && s.Store.Quarantined == 1 && s.Down[0].LastError != "" && s.Down[1].LastError != ""
	})
	if d := s.Down[0]; string(d.NodeID) != someID || d.Failures == 0 || !strings.Contains(d.LastError, "refused") {
		t.Errorf("down: %+v", d)
	}
	if q := s.Quarantined[0]; string(q.NodeID) != other.id || !strings.Contains(q.Reason, "other-net") {
		t.Errorf("quarantined: %+v", q)
	}
	for _, command := range []string{"status", "peers"} {
		out := must(t, n.ask(command)...)
		for _, want := range []string{"2 trusted and down:", someID[:8], "refused", "1 in quarantine:", "other-net"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not show %q:\n%s", command, want, out)
			}
		}
	}
	out := must(t, n.ask("status")...)
	for _, want := range []string{"\nhealth      warn: 2 persistent peers are down: ",
		" (persistent-down)\n            -> see whether it runs"} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not show %q:\n%s", want, out)
		}
	}
	metrics := get(t, "http://"+n.admin+"/metrics")
	for _, want := range []string{"\nswitchyard_quarantined_peers 1\n", "\nswitchyard_trusted_peers_down 2\n",
		"\nswitchyard_dial_failures_total{cause=\"transport\",limit=\"\",stage=\"transport\"} ",
		"\nswitchyard_dial_failures_total{cause=\"wrong-network\",limit=\"\",stage=\"info\"} ",
		"\nswitchyard_build_info{go_version=\"go", "\nswitchyard_handshake_seconds_bucket{direction=\"inbound\"",
		"\nswitchyard_round_trip_seconds_count 0\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %q:\n%s", want, metrics)
		}
	}
}

// TestVerdict shows how status prints findings.
func TestVerdict(t *testing.T) {
	bad := admin.Finding{Code: "twin", Severity: host.GradeBad, Text: "another\x1b[2J node uses our key",
		Remedy: "give each a key"}
	info := admin.Finding{Code: "starting", Severity: host.GradeInfo, Text: "the node has just started"}
	for _, tt := range []struct {
		found []admin.Finding
		want  string
	}{
		{nil, ""}, // a node of an earlier version
		{[]admin.Finding{{Code: "well", Severity: host.GradeOK, Text: "all is well: 3 peers, 9 known"}},
			"health  all is well: 3 peers, 9 known\n"},
		{[]admin.Finding{bad, info}, "health  bad: another?[2J node uses our key (twin)\n        -> give each a key\n" +
			"        info: the node has just started (starting)\n"},
		{slices.Repeat([]admin.Finding{info}, mostFindings+2), "health  info: the node has just started (starting)\n" +
			strings.Repeat("        info: the node has just started (starting)\n", mostFindings-1) +
			"        and 2 more (--json has all)\n"},
	} {
		var out strings.Builder
		if printPairs(&out, verdict(tt.found)); out.String() != tt.want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), tt.want)
		}
	}
}
