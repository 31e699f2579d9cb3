package cli

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/transport"
)

// crawl maps two nodes, keeps the map in a folder, goes on from it, and export writes it in other forms.
func TestCrawl(t *testing.T) {
	n := startNode(t, initHome(t))
	dir := filepath.Join(t.TempDir(), "map")
	var got struct {
		Summary crawl.Summary
		Nodes   []crawl.Node
	}
	mustJSON(t, &got, "crawl", n.address(), "--json", "--out", dir)
	if got.Summary.Here != 1 || got.Summary.Partial || len(got.Nodes) != 1 || string(got.Nodes[0].ID) != n.id ||
		got.Nodes[0].State != crawl.Reachable || got.Nodes[0].PeerID != n.peerID {
		t.Errorf("%+v", got)
	}
	out := must(t, "crawl", "--out", dir) // there is nothing left to do
	if !strings.Contains(out, "1 nodes in") || !strings.Contains(out, "reachable") || strings.Contains(out, "\x1b") {
		t.Errorf("printed %q", out)
	}
	for _, name := range []string{"visits.jsonl", "nodes.jsonl", "edges.jsonl", "summary.json", "map.html"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if got := must(t, "crawl", "export", "--out", dir, "--peers", "-"); got != n.id+"@"+n.listen+"\n" {
		t.Errorf("peers %q", got)
	}
	// one crawl at a time writes a folder; export reads it all the same
	held, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	oneLine(t, call(t, "crawl", "--out", dir), exitFailed, "another crawl writes there")
	systems := filepath.Join(t.TempDir(), "as.tsv")
	if err := os.WriteFile(systems, []byte("127.0.0.0\t127.255.255.255\t64496\tDE\tLOCAL\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := must(t, "crawl", "export", "--out", dir, "--csv", "-", "--asn", systems); !strings.Contains(got,
		",64496,LOCAL\n") {
		t.Errorf("with systems: %q", got)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	if got := must(t, "crawl", "--out", dir, "--asn", systems); !strings.Contains(got, "AS64496 LOCAL (DE)") {
		t.Errorf("with systems: %q", got)
	}
	file := filepath.Join(t.TempDir(), "graph.xml")
	must(t, "crawl", "export", "--out", dir, "--graphml", file, "--dot", filepath.Join(dir, "map.dot"),
		"--csv", filepath.Join(dir, "map.csv"), "--html", filepath.Join(dir, "again.html"))
	text, err := os.ReadFile(file)
	if err != nil || xml.Unmarshal(text, new(struct{ XMLName xml.Name })) != nil {
		t.Errorf("%v, %q", err, text)
	}
	// A dead seed beside the live one: tried three times, unless a budget ends that. The map is partial then.
	r := call(t, "crawl", n.address(), "/ip4/127.0.0.1/tcp/1", "--budget", "2,10s", "--strict", "--network", "other")
	if r.code != exitPartial || !strings.Contains(r.out, "partial: the budget of 2 dials is spent") ||
		!strings.Contains(r.out, "other-network") {
		t.Errorf("%+v", r)
	}
	r = call(t, "crawl", "no-such-name.invalid:26656", "--timeout", "2s")
	oneLine(t, r, exitFailed, "no-such-name.invalid")
	r = call(t, "crawl", "--out", dir, "--network", "another")
	oneLine(t, r, exitFailed, "it is of network")
}

func TestCrawlUsage(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("1.2.3.4\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const peer = "1.2.3.4:26656"
	for _, c := range []struct {
		want string
		args []string
	}{
		{"ADDRESS is missing", nil}, {"--workers", []string{peer, "--workers", "65"}},
		{"--passes", []string{peer, "--passes", "0"}}, {"--recheck", []string{peer, "--recheck", "-1s"}},
		{"--budget", []string{peer, "--budget", "x"}}, {"--budget", []string{peer, "--budget", "5,6"}},
		{"--contact", []string{peer, "--contact", "a\nb"}}, {"--timeout", []string{peer, "--timeout", "1m"}},
		{"line 1: want a last IP", []string{peer, "--asn", bad}},
		{"--asn", []string{"export", "--out", "x", "--csv", "-", "--asn", "no"}},
		{"line 2", []string{peer, "--exclude", bad}}, {"nowhere", []string{"nowhere"}},
		{"--out is missing", []string{"export"}}, {"say what to write", []string{"export", "--out", "x"}},
	} {
		oneLine(t, call(t, append([]string{"crawl"}, c.args...)...), exitUsage, c.want)
	}
	oneLine(t, call(t, "crawl", "export", "--out", bad, "--csv", "-"), exitFailed, "visits.jsonl")
}

func TestCrawlView(t *testing.T) {
	v := newCrawlView(crawl.Config{Workers: 8})
	p := crawl.Progress{Network: "n", Known: 40, Dials: 25, Waiting: 12, Active: 8, Elapsed: 3200 * time.Millisecond,
		States: map[crawl.State]int{crawl.Untried: 20, crawl.Reachable: 18, crawl.FullUp: 1, crawl.Refusing: 1}}
	for i := range 2 * crawlNames {
		p.Last = &crawl.Visit{Outcome: crawl.Reached, Proven: transport.NodeID(fmt.Sprintf("%040x", i/2)),
			Wire: "comet", Info: &crawl.Info{Version: fmt.Sprint(i)}}
		v.show(p)
	}
	p.Last = &crawl.Visit{Outcome: "failed", Code: "timeout", Error: "too late"}
	v.show(p)
	got := <-v.updates
	if got.Nodes != 40 || got.Reachable != 18 || got.SeenOnly != 20 || got.Refused != 2 ||
		got.Wires.Comet != crawlNames || len(got.Versions) != 5 || len(got.Why) != 1 ||
		got.Why[0].Name != "timeout" || len(got.Log) != crawlLines {
		t.Errorf("%+v", got)
	}
	if last := got.Log[len(got.Log)-1]; last.Kind != live.LineDown || !strings.Contains(last.Text, "too late") {
		t.Errorf("the last line: %+v", last)
	}
}
