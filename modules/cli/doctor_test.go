package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// grades returns what doctor says of a home, by check; the worst counts.
func grades(t *testing.T, code int, args ...string) map[string]diagnosis {
	t.Helper()
	r := call(t, append([]string{"doctor", "--json"}, args...)...)
	var list []diagnosis
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || r.code != code {
		t.Fatalf("doctor %v: %+v, %v", args, r, err)
	}
	rank := map[string]int{"": 0, gradeOK: 1, gradeWarn: 2, gradeBad: 3}
	worst := map[string]diagnosis{}
	for _, d := range list {
		if rank[d.Grade] == 0 || d.Text == "" || d.Grade != gradeOK && d.Remedy == "" {
			t.Errorf("%+v", d)
		}
		if rank[d.Grade] > rank[worst[d.Check].Grade] {
			worst[d.Check] = d
		}
	}
	return worst
}

func TestDoctor(t *testing.T) {
	home := initHome(t)
	checks := []string{"config", "node", "descriptors", "clock", "ports", "dns", "nat", "reachable"}
	got := grades(t, exitDone, "--home", home)
	for _, check := range checks {
		if got[check].Grade == "" {
			t.Errorf("nothing is said of %s", check)
		}
	}
	// What is wrong is found.
	taken := programtest.FreeAddress(t)
	other := startNode(t, initHome(t, "--set", "admin.address="+taken))
	port := other.port()
	got = grades(t, exitFailed, "--home", home, "--set", "listen.addresses=/ip4/127.0.0.1/tcp/"+port, "--set",
		"listen.external=/dns4/no-such-name.invalid/tcp/1")
	for _, check := range []string{"ports", "dns"} {
		if got[check].Grade != gradeBad {
			t.Errorf("%s: %+v", check, got[check])
		}
	}
	edit(t, home, "max_outbound = 8", "max_outbound = -8")
	if got = grades(t, exitFailed, "--home", home); got["config"].Grade != gradeBad {
		t.Errorf("%+v", got)
	}
	// A node that runs tells how it is.
	got = grades(t, exitDone, "--home", other.home)
	if !strings.Contains(got["ports"].Text, "the node listens on /ip4/127.0.0.1/tcp/"+port) ||
		got["finding"].Text == "" {
		t.Errorf("%+v", got)
	}
	if out := must(t, "doctor", "--home", other.home); !strings.Contains(out, "\nok    ports         ") {
		t.Errorf("printed\n%s", out)
	}
}

// TestReachability judges what a node tells of its links.
func TestReachability(t *testing.T) {
	inbound := admin.Peer{Direction: admin.Inbound, IP: "10.0.0.7"}
	for _, tt := range []struct {
		name   string
		status *admin.Status
		peers  []admin.Peer
		grade  string
		text   string
	}{
		{"not running", nil, nil, gradeOK, "not checked"},
		{"loopback", &admin.Status{Listen: []string{"/ip4/127.0.0.1/tcp/1"}}, nil, gradeOK, "loopback only"},
		{"no listener", &admin.Status{}, nil, gradeWarn, "listens nowhere"},
		{"nobody", &admin.Status{Listen: []string{"/ip4/10.0.0.1/tcp/1"}}, nil, gradeWarn, "no peer to ask"},
		{"dialed", &admin.Status{Listen: []string{"/ip4/10.0.0.1/tcp/1"}}, []admin.Peer{inbound}, gradeOK, "have " +
			"dialed"},
		{"young", &admin.Status{Listen: []string{"/ip4/10.0.0.1/tcp/1"}, Uptime: 5,
			Peers: admin.PeerCounts{Outbound: 1}}, nil, gradeOK, "yet; it has run"},
		{"shut off", &admin.Status{Listen: []string{"/ip4/10.0.0.1/tcp/1"}, Uptime: 5000,
			Peers: admin.PeerCounts{Outbound: 1}}, nil, gradeWarn, "no peer has dialed"},
	} {
		got := checkReach(t.Context(), &patient{status: tt.status, peers: tt.peers})
		last := got[len(got)-1]
		if last.Grade != tt.grade || !strings.Contains(last.Text, tt.text) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	judged := func(v autonat.Verdict, address string) *autonat.Report {
		return &autonat.Report{Addresses: []autonat.Judged{{Address: address, Verdict: v, Why: "so"}}}
	}
	lonely := &admin.Status{Listen: []string{"/ip4/10.0.0.1/tcp/1"}, Uptime: 5000, Peers: admin.PeerCounts{Outbound: 1}}
	at := &patient{status: lonely, dialBack: judged(autonat.Reachable, "/ip4/8.8.8.8/tcp/1")}
	if got := checkReach(t.Context(), at); got[0].Grade != gradeOK {
		t.Errorf("dialed back: %+v", got)
	}
	for _, tt := range []struct {
		at    *patient
		grade string
		text  string
	}{
		{at, gradeOK, "/ip4/8.8.8.8/tcp/1 is reachable: so"},
		{&patient{dialBack: judged(autonat.Unreachable, "/ip4/8.8.8.8/tcp/1")}, gradeWarn, "is not reachable: so"},
		{&patient{dialBack: judged(autonat.Unreachable, "/ip4/10.0.0.1/tcp/1")}, gradeOK, "is not reachable: so"},
		{&patient{dialBack: judged(autonat.Unknown, "/ip4/8.8.8.8/tcp/1")}, gradeOK, "not known: so"},
		{&patient{unasked: "off"}, gradeOK, "not known: off"},
	} {
		got := checkDialBack(t.Context(), tt.at)
		if len(got) != 1 || got[0].Grade != tt.grade || !strings.Contains(got[0].Text, tt.text) ||
			(got[0].Grade == gradeOK) != (got[0].Remedy == "") {
			t.Errorf("%+v", got)
		}
	}
	for text, want := range map[string]string{"ab@host.example:1": "host.example", "/dns4/a.b/tcp/1": "a.b",
		"/ip4/1.2.3.4/tcp/1": "", "ab@1.2.3.4:5": "", "ab@xyz.onion:1": ""} {
		if got := nameOf(text); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}
