package cli

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
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
		{"line 2", []string{peer, "--exclude", bad}}, {"nowhere", []string{"nowhere"}},
		{"--out is missing", []string{"export"}}, {"say what to write", []string{"export", "--out", "x"}},
	} {
		oneLine(t, call(t, append([]string{"crawl"}, c.args...)...), exitUsage, c.want)
	}
	oneLine(t, call(t, "crawl", "export", "--out", bad, "--csv", "-"), exitFailed, "visits.jsonl")
}

func TestCrawlLine(t *testing.T) {
	p := crawl.Progress{Known: 40, Alive: 18, Dials: 25, Waiting: 12, Active: 8, Elapsed: 3200 * time.Millisecond,
		States: map[crawl.State]int{crawl.Untried: 20}}
	const text = "3.2s  40 known, 18 alive, 20 visited, 20 waiting, 25 dials"
	if got := crawlLine(p, 0); got != text {
		t.Errorf("%q", got)
	}
	if got := crawlLine(p, 80); got != "[#########.........]  "+text {
		t.Errorf("%q", got)
	}
	for _, columns := range []int{1, 60, 79, 200} {
		if got := crawlLine(p, columns); len(got) > max(columns, len(text)) {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
}
